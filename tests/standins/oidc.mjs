// oidc.mjs - stand-ins for Kakao, Naver, Google and a generic OpenID Connect provider on one local port. They check what the real ones
// check and fail in the real ones' forms: wrong method, path, content type, secret, redirect_uri, a code used twice, a missing state
// (Naver), a wrong PKCE verifier (Google, generic). Every call is recorded in `calls`.
//
//   const idp = await Oidc.start();
//   idp.people.set('kakao', { id: 9007199254740993n, email: 'a@b.example' });   // who logs in next
//   const callback = await idp.authorize(locationFromUs);                        // what the browser would be sent back to
import { createHash, createSign, randomBytes } from 'node:crypto';
import http from 'node:http';
import { keyPair } from '../support/keys.mjs';

const base64url = (value) => Buffer.from(value).toString('base64url');

/** What each provider answers to a bad token request. */
const TOKEN_ERRORS = {
  kakao: {
    invalid_client: [401, { error: 'invalid_client', error_description: 'Bad client credentials', error_code: 'KOE010' }],
    invalid_grant: [400, { error: 'invalid_grant', error_description: 'authorization code not found', error_code: 'KOE320' }],
    bad_redirect: [400, { error: 'invalid_grant', error_description: 'Redirect URI mismatch.', error_code: 'KOE303' }],
    invalid_request: [400, { error: 'invalid_request', error_description: 'Not exist required parameters.', error_code: 'KOE002' }],
  },
  // Naver's come with 200.
  naver: {
    invalid_client: [200, { error: 'invalid_client', error_description: 'wrong client id / client secret pair' }],
    invalid_grant: [200, { error: 'invalid_request', error_description: 'no valid data in session' }],
    bad_redirect: [200, { error: 'invalid_request', error_description: 'redirect_uri mismatch' }],
    invalid_request: [200, { error: 'invalid_request', error_description: 'state parameter is missing' }],
  },
  google: {
    invalid_client: [401, { error: 'invalid_client', error_description: 'Unauthorized' }],
    invalid_grant: [400, { error: 'invalid_grant', error_description: 'Bad Request' }],
    bad_redirect: [400, { error: 'redirect_uri_mismatch', error_description: 'Bad Request' }],
    invalid_request: [400, { error: 'invalid_request', error_description: 'Missing parameter' }],
  },
};
TOKEN_ERRORS.school = TOKEN_ERRORS.google;

const PROVIDERS = {
  kakao: { pkce: false, idToken: (scope) => /\bopenid\b/.test(scope), alg: 'RS256' },
  naver: { pkce: false, idToken: () => false, needsState: true },
  google: { pkce: true, idToken: (scope) => /\bopenid\b/.test(scope), alg: 'RS256' },
  school: { pkce: true, idToken: (scope) => /\bopenid\b/.test(scope), alg: 'ES256', basic: true },
};

export const CLIENTS = {
  kakao: { id: 'kakao-rest-key', secret: 'kakao-secret' },
  naver: { id: 'naver-id', secret: 'naver-secret' },
  google: { id: 'google-id.apps.example', secret: 'google-secret' },
  school: { id: 'school id', secret: 'school:secret/+' }, // to be encoded with care
};

export class Oidc {
  people = new Map(); // provider -> who logs in next
  calls = []; // {provider, step, method, path, query, form, headers}
  codes = new Map();
  tokens = new Map();
  keys = {};
  tamper = {}; // provider -> (claims, header) => void, to make bad id_tokens
  fail = {}; // "google token" -> (response) => void: answers instead
  redirects = new Map(); // provider -> registered redirect_uri; the first one seen is registered

  static async start() {
    const idp = new Oidc();
    idp.rotate();
    idp.server = http.createServer((request, response) => idp.#handle(request, response));
    await new Promise((resolve) => idp.server.listen(0, '127.0.0.1', resolve));
    idp.url = `http://127.0.0.1:${idp.server.address().port}`;
    return idp;
  }

  stop() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }

  /** New keys under new names; the old ones are published no more. */
  rotate() {
    const rsa = keyPair('rsa', { modulusLength: 2048 });
    const ec = keyPair('ec', { namedCurve: 'P-256' });
    this.keys = {
      RS256: { ...rsa, kid: `rsa-${randomBytes(4).toString('hex')}` },
      ES256: { ...ec, kid: `ec-${randomBytes(4).toString('hex')}` },
    };
  }

  /** Settings of auth-svc that point here. */
  settings(publicUrl) {
    const at = (provider, path) => `${this.url}/${provider}${path}`;
    return {
      SOCIAL_ALLOW_HTTP: 'on',
      PUBLIC_URL: publicUrl,
      KAKAO_CLIENT_ID: CLIENTS.kakao.id,
      KAKAO_CLIENT_SECRET: CLIENTS.kakao.secret,
      KAKAO_SCOPE: 'openid,profile_nickname,account_email',
      KAKAO_AUTHORIZE_URL: at('kakao', '/oauth/authorize'),
      KAKAO_TOKEN_URL: at('kakao', '/oauth/token'),
      KAKAO_USER_URL: at('kakao', '/v2/user/me'),
      KAKAO_ISSUER: at('kakao', ''),
      KAKAO_JWKS_URL: at('kakao', '/jwks'),
      NAVER_CLIENT_ID: CLIENTS.naver.id,
      NAVER_CLIENT_SECRET: CLIENTS.naver.secret,
      NAVER_AUTHORIZE_URL: at('naver', '/oauth2.0/authorize'),
      NAVER_TOKEN_URL: at('naver', '/oauth2.0/token'),
      NAVER_USER_URL: at('naver', '/v1/nid/me'),
      GOOGLE_CLIENT_ID: CLIENTS.google.id,
      GOOGLE_CLIENT_SECRET: CLIENTS.google.secret,
      GOOGLE_AUTHORIZE_URL: at('google', '/o/oauth2/v2/auth'),
      GOOGLE_TOKEN_URL: at('google', '/token'),
      GOOGLE_ISSUER: at('google', ''),
      GOOGLE_JWKS_URL: at('google', '/jwks'),
      SOCIAL_OIDC: JSON.stringify([
        { name: 'school', issuer: at('school', ''), client_id: CLIENTS.school.id, client_secret: CLIENTS.school.secret, trust_email: true },
      ]),
    };
  }

  /**
   * Does what the browser and the person do at the provider: follows our redirect, agrees (or denies), and gives the address the
   * browser is sent back to. Throws when our request to the log-in page is not right.
   */
  async authorize(location, { deny = false } = {}) {
    const response = await fetch(`${location}${deny ? '&stand_in_deny=1' : ''}`, { redirect: 'manual' });
    if (response.status !== 302) throw new Error(`log-in page: ${response.status} ${await response.text()}`);
    return response.headers.get('location');
  }

  callsOf(provider, step) {
    return this.calls.filter((call) => call.provider === provider && call.step === step);
  }

  // ---- the server ----

  #handle(request, response) {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      const url = new URL(request.url, this.url);
      const [, provider, ...rest] = url.pathname.split('/');
      const path = `/${rest.join('/')}`;
      const call = {
        provider,
        method: request.method,
        path,
        query: Object.fromEntries(url.searchParams),
        form: Object.fromEntries(new URLSearchParams(Buffer.concat(parts).toString())),
        headers: request.headers,
      };
      const step = STEPS[path];
      if (!PROVIDERS[provider] || !step) return json(response, 404, { error: 'not_found' });
      call.step = step.name;
      this.calls.push(call);
      const failure = this.fail[`${provider} ${step.name}`];
      if (failure) return failure(response);
      if (request.method !== step.method) return json(response, 405, { error: 'method_not_allowed' });
      return this[step.name](call, response);
    });
  }

  page({ provider, query }, response) {
    const client = CLIENTS[provider];
    const how = PROVIDERS[provider];
    const bad = (text) => json(response, 400, { error: 'invalid_request', error_description: text });
    if (query.client_id !== client.id) return bad('client_id');
    if (query.response_type !== 'code') return bad('response_type');
    if (!/\/api\/auth\/social\/\w+\/callback$/.test(query.redirect_uri ?? '')) return bad('redirect_uri');
    if (!this.redirects.has(provider)) this.redirects.set(provider, query.redirect_uri);
    if (this.redirects.get(provider) !== query.redirect_uri) return bad('redirect_uri mismatch');
    if (!query.state || query.state.length < 22) return bad('state of 128 bits');
    if (how.idToken(query.scope ?? '') && !query.nonce) return bad('nonce');
    if (how.pkce && (query.code_challenge_method !== 'S256' || !/^[\w-]{43}$/.test(query.code_challenge ?? ''))) return bad('code_challenge');
    const back = new URL(query.redirect_uri);
    back.searchParams.set('state', query.state);
    if (query.stand_in_deny) {
      back.searchParams.set('error', 'access_denied');
      back.searchParams.set('error_description', 'User denied access');
    } else {
      const code = randomBytes(16).toString('base64url');
      this.codes.set(code, { provider, query, person: this.people.get(provider), used: false });
      back.searchParams.set('code', code);
    }
    response.writeHead(302, { Location: back.href }).end();
  }

  token({ provider, form, headers }, response) {
    const how = PROVIDERS[provider];
    const refuse = (kind) => json(response, ...TOKEN_ERRORS[provider][kind]);
    if (!headers['content-type']?.startsWith('application/x-www-form-urlencoded')) return refuse('invalid_request');
    if (!this.#clientIs(provider, form, headers, how.basic)) return refuse('invalid_client');
    if (form.grant_type !== 'authorization_code' || !form.code) return refuse('invalid_request');
    const grant = this.codes.get(form.code);
    if (!grant || grant.provider !== provider || grant.used) return refuse('invalid_grant');
    if (how.needsState && form.state !== grant.query.state) return refuse('invalid_request');
    if (!how.needsState && form.redirect_uri !== grant.query.redirect_uri) return refuse('bad_redirect');
    if (how.pkce && createHash('sha256').update(form.code_verifier ?? '').digest('base64url') !== grant.query.code_challenge) return refuse('invalid_grant');
    grant.used = true;
    const access = randomBytes(24).toString('base64url');
    this.tokens.set(access, grant);
    const reply = { token_type: 'bearer', access_token: access, refresh_token: randomBytes(24).toString('base64url'), scope: grant.query.scope };
    reply.expires_in = provider === 'naver' ? '3600' : 21599;
    if (how.idToken(grant.query.scope ?? '')) reply.id_token = this.#idToken(provider, grant);
    json(response, 200, reply);
  }

  #clientIs(provider, form, headers, basic) {
    const client = CLIENTS[provider];
    if (basic) {
      const [id, secret] = Buffer.from(headers.authorization?.replace(/^Basic /, '') ?? '', 'base64').toString().split(':');
      return decodeURIComponent(id) === client.id && decodeURIComponent(secret ?? '') === client.secret && !form.client_secret;
    }
    return form.client_id === client.id && form.client_secret === client.secret && !headers.authorization;
  }

  #idToken(provider, { query, person }) {
    const now = Math.floor(Date.now() / 1000);
    const key = this.keys[PROVIDERS[provider].alg];
    const header = { alg: PROVIDERS[provider].alg, typ: 'JWT', kid: key.kid };
    const claims = {
      iss: `${this.url}/${provider}`,
      aud: CLIENTS[provider].id,
      sub: String(person.id),
      nonce: query.nonce,
      iat: now,
      exp: now + 3600,
      ...(provider === 'kakao' ? { nickname: person.nickname } : { name: person.name }),
    };
    // The school keeps the e-mail out of the id_token.
    if (provider === 'google') Object.assign(claims, { email: person.email, email_verified: person.email_verified });
    this.tamper[provider]?.(claims, header);
    const input = `${base64url(JSON.stringify(header))}.${base64url(JSON.stringify(claims))}`;
    if (header.alg === 'none') return `${input}.`;
    const signature = createSign('sha256').update(input).sign({ key: key.privateKey, dsaEncoding: 'ieee-p1363' });
    return `${input}.${base64url(signature)}`;
  }

  user({ provider, headers }, response) {
    const grant = this.tokens.get(headers.authorization?.replace(/^Bearer /, ''));
    if (!grant || grant.provider !== provider) {
      if (provider === 'naver') return json(response, 401, { resultcode: '024', message: 'Authentication failed' });
      if (provider === 'kakao') return json(response, 401, { msg: 'this access token does not exist', code: -401 });
      return json(response, 401, { error: 'invalid_token' });
    }
    const { id, email, nickname, name, email_verified = false, is_email_valid = true } = grant.person;
    if (provider === 'kakao') {
      // The id is a number beyond 2^53, written by hand: JSON.stringify has no such numbers.
      const account = { profile_needs_agreement: false, profile: { nickname, thumbnail_image_url: 'http://img.example/1' } };
      if (email) Object.assign(account, { email_needs_agreement: false, email, is_email_valid, is_email_verified: email_verified });
      return text(response, 200, `{"id":${id},"connected_at":"2025-01-01T00:00:00Z","properties":null,"kakao_account":${JSON.stringify(account)}}`);
    }
    if (provider === 'naver') return json(response, 200, { resultcode: '00', message: 'success', response: { id: String(id), email, nickname, name } });
    return json(response, 200, { sub: String(id), email, email_verified, name });
  }

  jwks(call, response) {
    const keys = Object.entries(this.keys).map(([alg, { publicKey, kid }]) => ({ ...publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig' }));
    json(response, 200, { keys: [{ kty: 'oct', kid: 'odd', k: 'AAAA' }, ...keys] });
  }

  discovery({ provider }, response) {
    const base = `${this.url}/${provider}`;
    json(response, 200, {
      issuer: base,
      authorization_endpoint: `${base}/authorize`,
      token_endpoint: `${base}/token`,
      userinfo_endpoint: `${base}/userinfo`,
      jwks_uri: `${base}/jwks`,
      response_types_supported: ['code'],
      code_challenge_methods_supported: ['plain', 'S256'],
      token_endpoint_auth_methods_supported: ['client_secret_basic'],
      id_token_signing_alg_values_supported: ['ES256'],
    });
  }
}

const STEPS = {
  '/oauth/authorize': { name: 'page', method: 'GET' },
  '/oauth2.0/authorize': { name: 'page', method: 'GET' },
  '/o/oauth2/v2/auth': { name: 'page', method: 'GET' },
  '/authorize': { name: 'page', method: 'GET' },
  '/oauth/token': { name: 'token', method: 'POST' },
  '/oauth2.0/token': { name: 'token', method: 'POST' },
  '/token': { name: 'token', method: 'POST' },
  '/v2/user/me': { name: 'user', method: 'GET' },
  '/v1/nid/me': { name: 'user', method: 'GET' },
  '/userinfo': { name: 'user', method: 'GET' },
  '/jwks': { name: 'jwks', method: 'GET' },
  '/.well-known/openid-configuration': { name: 'discovery', method: 'GET' },
};

function text(response, status, body) {
  response.writeHead(status, { 'Content-Type': 'application/json;charset=UTF-8' }).end(body);
}

const json = (response, status, body) => text(response, status, JSON.stringify(body));
