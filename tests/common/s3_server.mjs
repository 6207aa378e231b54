// An S3-compatible server for tests: s3rver keeps the objects, and since it takes any version 4 signature, a door in front of it makes
// every signature anew with aws4 (another implementation than ours) from what the request says it signed, and refuses with S3's own errors.
//   key slow...: 503 SlowDown to the first two requests of each method ; key down...: always
import aws4 from 'aws4'
import { createHash, timingSafeEqual } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import S3rver from 's3rver'

export const ACCESS_KEY = 'S3RVER' // the only one that s3rver knows
const SKEW_MS = 15 * 60 * 1000

const refuse = (response, status, code) => {
  response.writeHead(status, { 'content-type': 'application/xml' })
  response.end(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>refused by the door</Message></Error>`)
}

const parseDate = text => Date.parse((text ?? '').replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'))

const same = (a, b) => a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b))

const signedHeaders = (request, names) => Object.fromEntries(names.split(';').map(name => [name, request.headers[name] ?? '']))

// The error code, or null when the Authorization header is right.
function checkHeader(request, body, secret) {
  const match = /^AWS4-HMAC-SHA256 Credential=([^/]+)\/\d{8}\/([^/]+)\/s3\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/
    .exec(request.headers.authorization ?? '')
  if (!match) return 'AccessDenied'
  const [, accessKeyId, region, names, signature] = match
  if (accessKeyId !== ACCESS_KEY) return 'InvalidAccessKeyId'
  if (!(Math.abs(Date.now() - parseDate(request.headers['x-amz-date'])) < SKEW_MS)) return 'RequestTimeTooSkewed'
  for (const name of ['host', 'x-amz-date', 'x-amz-content-sha256'])
    if (!names.split(';').includes(name)) return 'AccessDenied'
  if (request.headers['x-amz-content-sha256'] !== createHash('sha256').update(body).digest('hex')) return 'XAmzContentSHA256Mismatch'
  const again = aws4.sign({ service: 's3', region, method: request.method, path: request.url, headers: signedHeaders(request, names) },
    { accessKeyId, secretAccessKey: secret })
  return same(/Signature=(\w+)/.exec(again.headers.Authorization)[1], signature) ? null : 'SignatureDoesNotMatch'
}

// The same for a presigned address.
function checkQuery(request, url, secret) {
  const query = url.searchParams
  const [accessKeyId, , region] = query.get('X-Amz-Credential')?.split('/') ?? []
  const begin = parseDate(query.get('X-Amz-Date')), seconds = Number(query.get('X-Amz-Expires'))
  if (query.get('X-Amz-Algorithm') !== 'AWS4-HMAC-SHA256' || accessKeyId !== ACCESS_KEY) return 'InvalidAccessKeyId'
  if (!(seconds >= 1 && seconds <= 604800)) return 'AuthorizationQueryParametersError'
  if (!(Date.now() < begin + seconds * 1000 && begin < Date.now() + SKEW_MS)) return 'AccessDenied'
  const names = query.get('X-Amz-SignedHeaders') ?? '', signature = query.get('X-Amz-Signature')
  if (!names.split(';').includes('host')) return 'AccessDenied'
  const path = request.url.replace(/[?&]X-Amz-(Signature|Credential|SignedHeaders|Algorithm)=[^&]*/g, '').replace(/^([^?&]*)&/, '$1?')
  const again = aws4.sign({ service: 's3', region, method: request.method, path, signQuery: true, headers: signedHeaders(request, names) },
    { accessKeyId, secretAccessKey: secret })
  return same(/X-Amz-Signature=(\w+)/.exec(again.path)[1], signature) ? null : 'SignatureDoesNotMatch'
}

function pass(request, body, port, response) {
  const { expect, ...headers } = request.headers
  const inner = http.request({ host: '127.0.0.1', port, method: request.method, path: request.url, headers }, answer => {
    response.writeHead(answer.statusCode, answer.headers)
    answer.pipe(response)
  })
  inner.on('error', () => refuse(response, 500, 'InternalError'))
  inner.end(body)
}

// { url, requests, close } of a server with one bucket.
export async function startS3({ bucket, secret }) {
  const directory = await mkdtemp(join(tmpdir(), 's3-server-'))
  const store = new S3rver({ port: 0, address: '127.0.0.1', silent: true, directory, configureBuckets: [{ name: bucket }] })
  const { port } = await store.run()
  const slow = new Map(), requests = []
  const door = http.createServer(async (request, response) => {
    const chunks = []
    for await (const chunk of request) chunks.push(chunk)
    const body = Buffer.concat(chunks), url = new URL(request.url, 'http://door')
    const key = url.pathname.slice(bucket.length + 2)
    const wrong = url.searchParams.has('X-Amz-Signature') ? checkQuery(request, url, secret) : checkHeader(request, body, secret)
    requests.push({ method: request.method, key, wrong })
    if (wrong) return refuse(response, wrong === 'XAmzContentSHA256Mismatch' ? 400 : 403, wrong)
    if (key.startsWith('down')) return refuse(response, 503, 'SlowDown')
    if (key.startsWith('slow')) {
      const name = `${request.method} ${key}`, times = slow.get(name) ?? 0
      slow.set(name, times + 1)
      if (times < 2) return refuse(response, 503, 'SlowDown')
    }
    pass(request, body, port, response)
  })
  await new Promise(done => door.listen(0, '127.0.0.1', done))
  return {
    url: `http://127.0.0.1:${door.address().port}`,
    requests,
    async close() {
      door.closeAllConnections()
      await new Promise(done => door.close(done))
      await store.close()
      await rm(directory, { recursive: true })
    },
  }
}
