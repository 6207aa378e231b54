// Kubernetes' objects are read strictly by the model classes of Kubernetes and Strimzi, and those that have none by what their definitions document.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import Ajv from 'ajv';
import { parse, parseAllDocuments } from 'yaml';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const models = path.join(root, 'tests/deploy/models');
const home = path.join(root, 'build/models');
const run = (command, args, more) => execFileSync(command, args, { encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'], maxBuffer: 1 << 26, ...more });
const same = (one, other) => fs.existsSync(other) && fs.readFileSync(one, 'utf8') === fs.readFileSync(other, 'utf8');
const compiler = () => path.join(home, 'lib', fs.readdirSync(path.join(home, 'lib')).find((name) => name.startsWith('ecj-')));

/** Jars from Maven Central (20 MB, once), then Read.java by the compiler among them: a JDK is not needed. */
function prepare() {
  if (!same(path.join(models, 'pom.xml'), path.join(home, 'pom.xml'))) {
    fs.rmSync(home, { recursive: true, force: true });
    run('mvn', ['-q', '-B', '-f', path.join(models, 'pom.xml'), 'dependency:copy-dependencies', `-DoutputDirectory=${path.join(home, 'lib')}`, '-DincludeScope=runtime']);
    fs.copyFileSync(path.join(models, 'pom.xml'), path.join(home, 'pom.xml'));
  }
  const jars = fs.readdirSync(path.join(home, 'lib')).map((name) => path.join(home, 'lib', name)).join(':');
  run('java', ['-cp', compiler(), 'org.eclipse.jdt.internal.compiler.batch.Main', '-source', '17', '-target', '17', '-proc:none', '-cp', jars, '-d', path.join(home, 'classes'), path.join(models, 'Read.java')]);
}
const texts = new Map([['wrong', fs.readFileSync(path.join(models, 'wrong.yaml'), 'utf8')], ...['dev', 'prod'].map((overlay) => [overlay, run('kubectl', ['kustomize', `deploy/k8s/overlays/${overlay}`], { cwd: root })])]);
const objects = new Map([...texts].map(([name, text]) => [name, parseAllDocuments(text).map((document) => document.toJS())]));
const said = new Map();

/** What the models say of each document of each text: {verdict, type, name, fault}. One start of Java for all. */
before(() => {
  prepare();
  const lines = run('java', ['-cp', `${home}/classes:${home}/lib/*`, 'Read'], { input: [...texts.values()].join('---\n') }).trim().split('\n').map((line) => {
    const [, verdict, type, name, fault] = line.match(/^(\w+) (\S+ \S+) (\S+?)(?:: (.*))?$/) ?? assert.fail(line);
    return { verdict, type, name, fault };
  });
  for (const [name, list] of objects) said.set(name, lines.splice(0, list.length));
  assert.deepEqual(lines, []);
});

test('[S-53] the models refuse a field that they do not know, and a value of another type, and name the place', () => {
  assert.ok(objects.get('wrong').length >= 8);
  for (const [i, { metadata: { name, annotations: { at } } }] of objects.get('wrong').entries()) {
    const { verdict, fault } = said.get('wrong')[i];
    assert.equal(verdict, 'wrong', name);
    assert.ok(fault.startsWith(`${at}: `), `${name}: ${fault}`);
  }
});

const documented = parse(fs.readFileSync(path.join(models, 'documented.yaml'), 'utf8'), { merge: true });
const ajv = new Ajv({ strict: true, allowUnionTypes: true, allErrors: true });
const reads = new Map(Object.entries(documented).map(([type, properties]) => [type, ajv.compile({ type: 'object', additionalProperties: false, properties })]));

for (const overlay of ['dev', 'prod']) {
  test(`[S-53] overlay ${overlay}: every object is read by its model`, () => {
    const verdicts = said.get(overlay), written = objects.get(overlay);
    assert.deepEqual(verdicts.map(({ type, name }) => `${type} ${name}`), written.map((one) => `${one.apiVersion} ${one.kind} ${one.metadata.name}`), 'all of them');
    assert.deepEqual(verdicts.filter(({ verdict }) => verdict === 'wrong'), []);
    for (const [i, { verdict, type, name }] of verdicts.entries()) {
      if (verdict === 'read') continue;
      const read = reads.get(type);
      assert.ok(read, `${type} ${name}: neither a model nor a description`);
      assert.ok(read(written[i].spec), `${type} ${name}: ${ajv.errorsText(read.errors)}`);
      assert.ok(!read({ ...written[i].spec, sparePods: 1 }), 'a field that is not described is refused');
    }
  });
}
