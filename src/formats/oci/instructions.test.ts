import assert from 'node:assert/strict'
import { test } from 'node:test'
import { applyInstruction } from './instructions.ts'

const cases: { text: string; before?: object; after?: object; error?: RegExp }[] = [
  { text: 'CMD ["nginx", "-g"]', after: { Cmd: ['nginx', '-g'] } },
  { text: 'cmd nginx -g "x y"', after: { Cmd: ['/bin/sh', '-c', 'nginx -g "x y"'] } },
  { text: 'ENTRYPOINT ["/a"]', before: { Cmd: ['b'] }, after: { Entrypoint: ['/a'], Cmd: null } },
  { text: 'ENV A=1 B="x y" C=\\"q', before: { Env: ['B=0', 'Z=z'] }, after: { Env: ['B=x y', 'Z=z', 'A=1', 'C="q'] } },
  { text: 'ENV OLD form of it', after: { Env: ['OLD=form of it'] } },
  {
    text: 'EXPOSE 80 53/udp',
    before: { ExposedPorts: { '1/tcp': {} } },
    after: { ExposedPorts: { '1/tcp': {}, '80/tcp': {}, '53/udp': {} } },
  },
  { text: "LABEL a.b='c d' e=", before: { Labels: null }, after: { Labels: { 'a.b': 'c d', e: '' } } },
  { text: 'VOLUME ["/a b"]', after: { Volumes: { '/a b': {} } } },
  { text: 'VOLUME /a /b', after: { Volumes: { '/a': {}, '/b': {} } } },
  { text: 'WORKDIR ../b/./c', before: { WorkingDir: '/x/a' }, after: { WorkingDir: '/x/b/c' } },
  { text: 'USER  1000:100 ', after: { User: '1000:100' } },
  { text: 'STOPSIGNAL SIGQUIT', after: { StopSignal: 'SIGQUIT' } },
  { text: 'ONBUILD RUN x', before: { OnBuild: ['A'] }, after: { OnBuild: ['A', 'RUN x'] } },
  { text: 'HEALTHCHECK none', after: { Healthcheck: { Test: ['NONE'] } } },
  { text: 'RUN rm -rf /', error: /Cannot use change "RUN rm -rf \/": "RUN" is not CMD, ENTRYPOINT/ },
  { text: 'CMD', error: /nothing follows/ },
  { text: 'CMD ["a', error: /not a JSON list/ },
  { text: 'ENV A', error: /"A" is not KEY=VALUE/ },
  { text: 'ENV A="b', error: /is not closed/ },
  { text: 'EXPOSE http', error: /"http" is not a port/ },
  { text: 'constructor x', error: /is not CMD/ },
]
for (const c of cases)
  test(`instruction ${c.text}`, () => {
    if (c.error) assert.throws(() => applyInstruction({ ...c.before }, c.text), c.error)
    else assert.deepEqual(applyInstruction({ ...c.before }, c.text), c.after)
  })
