// chromium.mjs - Debian's Chromium without a window, driven over its own protocol (ws): pages that are clicked and typed into, and all that they asked for and complained of.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import WebSocket from 'ws';
import { eventually } from '../support/wait.mjs';

// As root it has no sandbox of its own; it reaches this machine only, whatever a page asks for.
const FLAGS = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-extensions',
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1', '--remote-debugging-port=0', '--window-size=1280,1000', '--lang=en'];

export class Browser {
  static async start() {
    const browser = new Browser();
    browser.home = fs.mkdtempSync(path.join(os.tmpdir(), 'madang-browser-'));
    browser.log = '';
    browser.child = spawn('chromium', [...FLAGS, `--user-data-dir=${browser.home}`, 'about:blank'], { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, HOME: browser.home } });
    browser.ended = new Promise((done) => browser.child.once('exit', done).once('error', done));
    browser.child.stderr.on('data', (part) => { browser.log += part; });
    const address = await eventually(60000, () => {
      if (browser.child.exitCode !== null) throw new Error(`chromium ended: ${browser.log}`);
      return /DevTools listening on (\S+)/.exec(browser.log)?.[1];
    }, 'chromium listens');
    browser.socket = new WebSocket(address, { perMessageDeflate: false, maxPayload: 1 << 28 });
    await new Promise((done, failed) => browser.socket.once('open', done).once('error', failed));
    browser.number = 0;
    browser.waiting = new Map();
    browser.pages = new Map();
    browser.socket.on('message', (text) => browser.hear(JSON.parse(text)));
    return browser;
  }
  hear({ id, sessionId, method, params, result, error }) {
    if (id === undefined) return void this.pages.get(sessionId)?.hear(method, params);
    const { done, failed } = this.waiting.get(id);
    this.waiting.delete(id);
    if (error) failed(new Error(error.message));
    else done(result);
  }
  send(method, params = {}, sessionId = undefined) {
    const id = ++this.number;
    return new Promise((done, failed) => {
      this.waiting.set(id, { done, failed });
      this.socket.send(JSON.stringify({ id, method, params, sessionId }));
    });
  }
  async open(url) {
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
    const page = new Page(this, sessionId);
    this.pages.set(sessionId, page);
    for (const part of ['Page', 'Runtime', 'Network', 'Log']) await page.send(`${part}.enable`);
    await page.go(url);
    return page;
  }
  async close() {
    this.socket?.close();
    this.child.kill('SIGTERM');
    await this.ended;
    fs.rmSync(this.home, { recursive: true, force: true, maxRetries: 10 });
  }
}

class Page {
  constructor(browser, session) {
    Object.assign(this, { browser, session, asked: [], complaints: [], statuses: new Map() });
  }
  send(method, params) {
    return this.browser.send(method, params, this.session);
  }
  hear(method, params) {
    if (method === 'Network.requestWillBeSent') this.asked.push(params.request.url);
    else if (method === 'Network.responseReceived') this.statuses.set(params.response.url, params.response.status);
    else if (method === 'Network.loadingFailed' && !params.canceled) this.complaints.push(`not loaded: ${params.errorText} ${params.blockedReason ?? ''}`);
    else if (method === 'Runtime.exceptionThrown') this.complaints.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    else if (method === 'Runtime.consoleAPICalled' && ['error', 'warning', 'assert'].includes(params.type)) this.complaints.push(params.args.map((one) => one.value ?? one.description).join(' '));
    else if (method === 'Log.entryAdded' && ['error', 'warning'].includes(params.entry.level)) this.complaints.push(`${params.entry.text} ${params.entry.url ?? ''}`);
  }
  async go(url) {
    const { errorText } = await this.send('Page.navigate', { url });
    if (errorText) throw new Error(`${url}: ${errorText}`);
    await this.until('document.readyState === "complete" && location.href !== "about:blank"', `${url} is loaded`);
  }
  /** The value of an expression in the page. */
  async value(expression) {
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', { expression, returnByValue: true, awaitPromise: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }
  until(expression, what = expression, ms = 30000) {
    return eventually(ms, () => this.value(expression), what);
  }
  text() {
    return this.value('document.body.innerText');
  }
  /** Presses what the expression finds, where a person would: in its middle, once it stands still and nothing lies over it. */
  async press(element, what = element) {
    const at = await this.until(`(async () => {
      const found = ${element};
      if (!found || found.disabled) return null;
      found.scrollIntoView({ block: 'center', behavior: 'instant' });
      const place = () => { const box = found.getBoundingClientRect(); return { x: box.x + box.width / 2, y: box.y + box.height / 2 }; };
      const before = place();
      await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
      const now = place(), top = document.elementFromPoint(now.x, now.y);
      return before.x === now.x && before.y === now.y && top && (found.contains(top) || top.contains(found)) ? now : null;
    })()`, `${what} can be pressed`);
    for (const type of ['mousePressed', 'mouseReleased']) await this.send('Input.dispatchMouseEvent', { type, ...at, button: 'left', clickCount: 1 });
  }
  async type(element, text) {
    await this.press(element);
    await this.until(`document.activeElement === ${element}`);
    await this.send('Input.insertText', { text });
  }
  /** To a file, where SCREENSHOTS names a folder: the window, with the element in its middle. */
  async picture(name, element = 'null') {
    if (!process.env.SCREENSHOTS) return;
    await this.value(`${element}?.scrollIntoView({ block: 'center', behavior: 'instant' })`);
    const { data } = await this.send('Page.captureScreenshot', { format: 'png', captureBeyondViewport: false });
    fs.writeFileSync(path.join(process.env.SCREENSHOTS, `${name}.png`), Buffer.from(data, 'base64'));
  }
}
