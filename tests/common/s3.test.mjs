// Runs the s3_* tests of test_objstore against an S3-compatible server, and asks that server what it saw.
import aws4 from 'aws4'
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { ACCESS_KEY, startS3 } from './s3_server.mjs'

const root = fileURLToPath(new URL('../..', import.meta.url))
const program = process.env.TEST_OBJSTORE ?? 'build/gcc/tests/common/test_objstore'
const secret = randomBytes(20).toString('hex')
let server

before(async () => {
  server = await startS3({ bucket: 'madang', secret })
})
after(() => server?.close())

const run = only =>
  new Promise(done => {
    const env = { ...process.env, S3_URL: server.url, S3_ACCESS_KEY: ACCESS_KEY, S3_SECRET_KEY: secret }
    execFile(program, [only], { cwd: root, env, timeout: 120_000 }, (error, stdout, stderr) => done({ error, output: stdout + stderr }))
  })

test('[P-11] files live on an S3-compatible server', async () => {
  const { error, output } = await run('s3_')
  assert.equal(error, null, output)
  const passed = Number(/^(\d+) passed, 0 failed$/m.exec(output)?.[1])
  assert.ok(passed >= 10, output)
})

test('[P-11] every request was signed right, but those with the wrong secret and the links that were changed or over', () => {
  const wrong = server.requests.filter(request => request.wrong)
  assert.deepEqual(wrong.map(({ method, key, wrong: code }) => `${method} ${key} ${code}`), [
    'GET chat/a.png SignatureDoesNotMatch',
    'GET chat/a.png AccessDenied',
    'PUT user/x.png SignatureDoesNotMatch',
  ])
  assert.ok(server.requests.length > 15)
})

test('[P-11] a server that says slow down is asked three times at most', () => {
  const times = (method, key) => server.requests.filter(request => request.method === method && request.key === key).length
  assert.equal(times('PUT', 'slow/a'), 3)
  assert.equal(times('GET', 'slow/a'), 3)
  assert.equal(times('PUT', 'down/a'), 3)
})

test('[P-11] another client reads what ours wrote, and does not find what ours deleted', async () => {
  const read = async key => {
    const { host } = new URL(server.url)
    const signed = aws4.sign({ service: 's3', region: 'us-east-1', host, path: `/madang/${key}` }, { accessKeyId: ACCESS_KEY, secretAccessKey: secret })
    return fetch(`${server.url}/madang/${key}`, { headers: signed.headers })
  }
  const kept = await read('user/ab/cd.png')
  assert.equal(kept.status, 200)
  assert.equal(await kept.text(), 'something else')
  assert.equal((await read('large')).status, 404)
})
