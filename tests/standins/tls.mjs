// tls.mjs - a certificate for 127.0.0.1 and localhost, made for one run; who believes it is told by its file.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

/** {key, cert, file}: PEM texts, and the file to give as CA. */
export function certificate(folder) {
  const [key, cert] = [path.join(folder, 'standin.key'), path.join(folder, 'standin.pem')];
  if (!fs.existsSync(cert)) {
    const subject = ['-subj', '/CN=stand-in', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost'];
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', ...subject, '-keyout', key, '-out', cert], { stdio: 'ignore' });
  }
  return { key: fs.readFileSync(key), cert: fs.readFileSync(cert), file: cert };
}
