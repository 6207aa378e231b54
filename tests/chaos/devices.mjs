// devices.mjs - clients that log in, refresh, log out and revoke; each is one account with several sessions.
import { Actor } from './actor.mjs';

const GRACE_MS = 9000; // a refresh token that is repeated later than this may be taken for stolen: then its family is dead, rightly

export class Devices extends Actor {
  constructor(name, seed, doors, person) {
    super(name, seed, doors);
    this.person = person;
    this.sessions = []; // {sid, access, refresh, alive, open (attempts without an answer)}
    this.lostLogIns = 0; // log-ins without an answer: each may have left a session that nobody knows
  }

  get living() {
    return this.sessions.filter((session) => session.alive);
  }

  async step() {
    if (this.living.length === 0) return this.logIn();
    const chance = this.chance();
    const session = this.pick(this.living);
    if (chance < 0.15 && this.living.length < 6) return this.logIn();
    if (chance < 0.75) return this.refresh(session);
    if (chance < 0.85) return this.logOut(session);
    if (chance < 0.95 && this.living.length > 1) return this.revoke(session, this.pick(this.living.filter((other) => other !== session)));
    return this.visit(session);
  }

  async logIn() {
    const { reply, unclear } = await this.sure('POST', '/api/auth/login', {
      body: { login: this.person.email, password: this.person.password },
    });
    this.lostLogIns += unclear;
    if (reply.status !== 200) return this.surprise(`log-in: ${reply.status} ${reply.text}`);
    this.sessions.push({ sid: reply.json.session_id, access: reply.json.access_token, refresh: reply.json.refresh_token, alive: true });
    return undefined;
  }

  async refresh(session) {
    const { reply, took } = await this.sure('POST', '/api/auth/refresh', { body: { refresh_token: session.refresh } });
    if (reply.status === 200) {
      if (reply.json.session_id !== session.sid) this.surprise('a refresh gave another session');
      session.access = reply.json.access_token;
      session.refresh = reply.json.refresh_token;
      return;
    }
    session.alive = false;
    if (took < GRACE_MS || reply.problem !== 'refresh_reused') this.surprise(`refresh after ${took | 0} ms: ${reply.status} ${reply.text}`);
  }

  async logOut(session) {
    const { reply } = await this.sure('POST', '/api/auth/logout', { body: { refresh_token: session.refresh }, token: session.access });
    if (reply.status !== 204 && reply.status !== 401) this.surprise(`log-out: ${reply.status} ${reply.text}`);
    session.alive = false;
  }

  async revoke(by, session) {
    const { reply } = await this.sure('DELETE', `/api/auth/sessions/${session.sid}`, { token: by.access });
    if (reply.problem === 'token_expired') return this.refresh(by);
    // 404: the first attempt had done it
    if (reply.status !== 204 && reply.status !== 404) this.surprise(`revoke: ${reply.status} ${reply.text}`);
    session.alive = false;
    return undefined;
  }

  async visit(session) {
    const { reply } = await this.sure('GET', '/api/users/me', { token: session.access });
    if (reply.problem === 'token_expired') return this.refresh(session);
    if (reply.status !== 200) this.surprise(`a living session: ${reply.status} ${reply.text}`);
    return undefined;
  }
}
