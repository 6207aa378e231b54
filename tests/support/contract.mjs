// contract.mjs - every reply that comes through a gateway is what docs/openapi.yaml says of its route: the status is described, the body fits its schema. Used by http.mjs for the end-to-end tests (CONTRACT=on).
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import Ajv from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { parse } from 'yaml';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const pointer = (text) => text.replaceAll('~', '~0').replaceAll('/', '~1');
const METHODS = ['get', 'put', 'post', 'patch', 'delete'];

let routes, ajv, document;
function load() {
  document = parse(fs.readFileSync(path.join(root, 'docs/openapi.yaml'), 'utf8'));
  ajv = new Ajv({ strict: false, allErrors: true });
  formats(ajv);
  ajv.addSchema(document, 'openapi');
  routes = Object.entries(document.paths).map(([template, item]) => ({
    template, item,
    // Literal segments go before parameters: /api/users/me is not /api/users/{id}.
    weight: template.split('/').reduce((sum, part) => sum * 2 + (part.startsWith('{') ? 0 : 1), 1),
    pattern: new RegExp(`^${template.split('/').map((part) => (part.startsWith('{') ? (part.startsWith('{key') ? '.+' : '[^/]+') : part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))).join('/')}$`),
  })).sort((a, b) => b.weight - a.weight);
}

/** Follows one $ref inside the document: {value, at: its place}. */
function resolve(value, at) {
  if (!value?.$ref) return { value, at };
  const place = value.$ref.replace(/^#/, '');
  const target = place.split('/').slice(1).reduce((node, key) => node?.[key.replaceAll('~1', '/').replaceAll('~0', '~')], document);
  return resolve(target, place);
}

const compiled = new Map();
function validator(at) {
  if (!compiled.has(at)) compiled.set(at, ajv.compile({ $ref: `openapi#${at.split('/').map((part) => encodeURIComponent(part).replaceAll('%7E', '~')).join('/')}` }));
  return compiled.get(at);
}

/** What is wrong with a reply, in words; undefined when nothing is, or when the document does not know the path (a gateway's 404). */
export function breach(method, pathname, reply) {
  if (!routes) load();
  const route = routes.find(({ pattern, item }) => pattern.test(pathname) && item[method.toLowerCase()]);
  if (!route || !METHODS.includes(method.toLowerCase())) return undefined;
  const { responses } = route.item[method.toLowerCase()];
  const where = `${method} ${route.template} -> ${reply.status}`;
  const key = [String(reply.status), `${Math.floor(reply.status / 100)}XX`, 'default'].find((name) => responses[name]);
  if (!key) return reply.status < 400 ? `${where}: docs/openapi.yaml does not describe this status` : undefined; // what every route may answer stands in docs/errors.md
  const { value: response, at } = resolve(responses[key], `/paths/${pointer(route.template)}/${method.toLowerCase()}/responses/${key}`);
  const type = (reply.headers['content-type'] ?? '').split(';')[0];
  const media = response?.content?.[type] ?? response?.content?.[`${type.split('/')[0]}/*`] ?? response?.content?.['*/*'];
  if (!response?.content) return reply.text && reply.status < 300 && /json/.test(type) ? `${where}: a body, where the document has none` : undefined;
  if (!media) return reply.text && reply.status < 300 ? `${where}: ${type || 'no type'} instead of ${Object.keys(response.content)}` : undefined;
  if (!media.schema || reply.json === undefined) return undefined;
  const check = validator(`${at}/content/${pointer(type)}/schema`);
  return check(reply.json) ? undefined : `${where}: ${ajv.errorsText(check.errors.slice(0, 4), { dataVar: 'reply' })}; ${reply.text.slice(0, 300)}`;
}
