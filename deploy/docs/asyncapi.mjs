// asyncapi.mjs - deploy/docs/asyncapi.html from docs/asyncapi.yaml: a page without scripts, served by the gateway as /docs/asyncapi.html. `make docs-page` writes it; tests/deploy compares.
//     node deploy/docs/asyncapi.mjs
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const { parse } = createRequire(path.join(root, 'tests/package.json'))('yaml');

const escape = (text) => String(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
const words = (text) => escape(text ?? '').replace(/`([^`]+)`/g, '<code>$1</code>');
const tail = (ref) => ref.split('/').at(-1);

function typeOf(schema) {
  if (schema === undefined || schema === true) return 'any';
  if (schema.$ref) return `<a href="#schema-${escape(tail(schema.$ref))}">${escape(tail(schema.$ref))}</a>`;
  if (schema.const !== undefined) return `<code>${escape(JSON.stringify(schema.const))}</code>`;
  if (schema.enum) return schema.enum.map((one) => `<code>${escape(JSON.stringify(one))}</code>`).join(' ');
  for (const [key, joint] of [['oneOf', ' or '], ['anyOf', ' or '], ['allOf', ' and ']]) if (schema[key]) return schema[key].map(typeOf).join(joint);
  const type = [schema.type].flat().filter(Boolean).join(' or ') || (schema.properties ? 'object' : 'any');
  if (schema.items) return `${type === 'array' ? 'list' : type} of ${typeOf(schema.items)}`;
  return escape(schema.format ? `${type} (${schema.format})` : type);
}

function rows(schema, prefix = '') {
  if (!schema || schema.$ref) return '';
  const needed = new Set(schema.required ?? []);
  const own = Object.entries(schema.properties ?? {}).map(([name, property]) => {
    const row = `<tr><td><code>${escape(prefix + name)}</code>${needed.has(name) ? '' : ' <i>optional</i>'}</td><td>${typeOf(property)}</td><td>${words(property.description)}</td></tr>`;
    const inner = property.type === 'array' ? property.items : property;
    return row + (inner?.properties ? rows(inner, `${prefix}${name}${property.type === 'array' ? '[]' : ''}.`) : '');
  });
  return own.join('') + ['allOf', 'oneOf', 'anyOf'].flatMap((key) => schema[key] ?? []).map((part) => rows(part, prefix)).join('');
}
const table = (schema) => { const all = rows(schema); return all ? `<table><tr><th>member</th><th>type</th><th></th></tr>${all}</table>` : schema ? `<p>${typeOf(schema)}</p>` : ''; };

export function page() {
  const document = parse(fs.readFileSync(path.join(root, 'docs/asyncapi.yaml'), 'utf8'));
  const told = new Map();
  for (const [name, { action, channel, summary }] of Object.entries(document.operations ?? {})) {
    const key = tail(channel.$ref);
    told.set(key, [...(told.get(key) ?? []), `${name.replaceAll('_', ' ')}${summary ? `: ${summary}` : ''} (${action})`]);
  }
  const channels = Object.entries(document.channels);
  const out = [
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,"><title>Madang topics and sockets</title>',
    '<link rel="stylesheet" href="/docs/page.css">',
    `<h1>${escape(document.info.title)} ${escape(document.info.version)}: topics and sockets</h1><p>${words(document.info.description)}</p>`,
    '<p>The HTTP side: <a href="/docs">/docs</a>. The source of this page: docs/asyncapi.yaml.</p><ul>',
    ...channels.map(([name, { address }]) => `<li><a href="#${escape(name)}">${escape(address ?? name)}</a></li>`), '</ul>',
  ];
  for (const [name, channel] of channels) {
    out.push(`<h2 id="${escape(name)}">${escape(channel.address ?? name)}</h2><p>${words(channel.description)}</p>`);
    if (told.has(name)) out.push(`<p>${told.get(name).map(escape).join('; ')}</p>`);
    for (const ref of Object.values(channel.messages ?? {})) {
      const message = ref.$ref ? document.components.messages[tail(ref.$ref)] : ref;
      out.push(`<h3>${escape(message.title ?? message.name ?? tail(ref.$ref ?? name))}</h3><p>${words(message.summary)} ${words(message.description)}</p>`, table(message.payload));
      if (message.headers) out.push('<p>Headers:</p>', table(message.headers));
    }
  }
  out.push('<h2>Schemas</h2>', ...Object.entries(document.components.schemas ?? {}).map(([name, schema]) => `<h3 id="schema-${escape(name)}">${escape(name)}</h3><p>${words(schema.description)}</p>${table(schema)}`), '</html>');
  return `${out.filter(Boolean).join('\n')}\n`;
}

if (process.argv[1] && path.resolve(process.argv[1]) === fileURLToPath(import.meta.url)) fs.writeFileSync(new URL('asyncapi.html', import.meta.url), page());
