#!/usr/bin/env node
// daemon.cjs - a stand-in for a daemon, for the tests of the supervisor: listens where LISTEN and ADMIN_LISTEN say, answers /readyz, and
// notes what it was given. The file behave.<instance> in RUN_DIR can say "unready" or "deaf" (ignores SIGTERM).
'use strict';
const http = require('node:http');
const fs = require('node:fs');

const { RUN_DIR, INSTANCE, LISTEN, ADMIN_LISTEN } = process.env;
const note = (name, text) => fs.writeFileSync(`${RUN_DIR}/${name}.${INSTANCE}`, text);
let how = '';
try {
  how = fs.readFileSync(`${RUN_DIR}/behave.${INSTANCE}`, 'utf8').trim();
} catch {
  // as daemons should
}
note('seen', JSON.stringify(process.env));

const listen = (address, answer) => {
  const [host, port] = address.split(':');
  return http.createServer(answer).listen(Number(port), host);
};
listen(LISTEN, (_, reply) => reply.end(INSTANCE));
listen(ADMIN_LISTEN, (request, reply) => {
  reply.statusCode = request.url === '/readyz' && how !== 'unready' ? 200 : 503;
  reply.end();
});
console.error(`${INSTANCE} listens at ${LISTEN}`);
process.on('SIGTERM', () => {
  note('heard', 'SIGTERM');
  if (how !== 'deaf') process.exit(0);
});
