import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runOptions, type Container } from '../../model/container.ts'
import type { RootfsKind } from '../../model/rootfs.ts'
import type { CommitRequest } from '../images/commit/commit.ts'
import type { GuestProcess } from './ports.ts'
import { createSnapshots } from './snapshots.ts'

const NEVER = new AbortController().signal

/** A running container whose agent answers every command with `output` and `code`. */
function bench(code: number | undefined, rootfs?: RootfsKind, options: object = {}) {
  const asked: (readonly string[])[] = []
  let ended = 0
  const container = {
    name: 'web',
    image: 'nginx',
    imageId: 'sha256:1',
    command: ['nginx', '-g'],
    rootfs,
    options: { ...runOptions.parse({ image: 'nginx' }), ...options },
  } as unknown as Container
  const process: GuestProcess = {
    stdout: stream('tar', 'bytes'),
    stderr: stream('tar: it broke\n'),
    write: () => Promise.resolve(),
    endInput() {},
    resize() {},
    exit: Promise.resolve(code),
    [Symbol.asyncDispose]: () => Promise.resolve(void (ended += 1)),
  }
  const commits: CommitRequest[] = []
  const snapshots = createSnapshots({
    containers: { findLive: () => Promise.resolve({ container, live: {} }) },
    agent: { run: (_live: unknown, words: readonly string[]) => (asked.push(words), Promise.resolve(process)) },
    images: {
      inspect: (id: string) => Promise.resolve({ id }),
      commit: (request: CommitRequest) => (commits.push(request), Promise.resolve(request.base)),
    },
    packer: {
      async *pack({ kind }: { kind: string }, input: AsyncIterable<Uint8Array>) {
        yield Buffer.from(`${kind}:`)
        yield* input
      },
    },
  } as unknown as Parameters<typeof createSnapshots>[0])
  return { snapshots, asked, commits, ended: () => ended }
}

async function* stream(...parts: string[]) {
  for (const part of parts) yield await Promise.resolve(Buffer.from(part))
}

async function text(bytes: AsyncIterator<Uint8Array>): Promise<string> {
  return Buffer.concat(await Array.fromAsync({ [Symbol.asyncIterator]: () => bytes })).toString()
}

test('the root goes out as it comes from the machine, packed as asked for', async () => {
  const plain = bench(0)
  assert.equal(await text((await plain.snapshots.open('web', 'tar', NEVER)).bytes), 'tarbytes')
  assert.deepEqual([plain.asked, plain.ended()], [[['root-out']], 1])
  const packed = await bench(0).snapshots.open('web', 'tar.bz2', NEVER)
  assert.deepEqual([packed.mediaType, await text(packed.bytes)], ['application/x-bzip2', 'bzip2:tarbytes'])
})

test('a root that does not come whole is an error after what came, and the command is let go of', async () => {
  for (const [code, why] of [
    [2, /^Cannot export container "web": tar: it broke$/],
    [undefined, /^Cannot export container "web": the connection to the machine was lost$/],
  ] as const) {
    const broken = bench(code)
    const { bytes } = await broken.snapshots.open('web', 'tar', NEVER)
    await assert.rejects(text(bytes), (error: Error) => why.test(error.message))
    assert.equal(broken.ended(), 1)
  }
})

for (const [rootfs, command, kind] of [
  ['ram', 'root-out', 'root'],
  ['nfs', 'root-out', 'root'],
  ['lazy', 'upper-out', 'upper'],
  ['image', 'upper-out', 'upper'],
] as const)
  test(`a ${rootfs} root is committed by ${command}, with what it ran with`, async () => {
    const { snapshots, asked, commits } = bench(0, rootfs, { command: ['-g'], env: ['A=b', 'FROM_HERE'], user: '7' })
    await snapshots.commit('web', { reference: 'my/web', message: 'm', changes: ['USER 8'] }, () => {}, NEVER)
    const { open, ...request } = commits[0]!
    assert.deepEqual(request, {
      reference: 'my/web',
      message: 'm',
      changes: ['USER 8'],
      name: 'container "web"',
      base: { id: 'sha256:1' },
      kind,
      createdBy: 'nginx -g',
      ran: { command: ['-g'], env: ['A=b'], user: '7' },
    })
    assert.equal(await text(open(NEVER)[Symbol.asyncIterator]()), 'tarbytes')
    assert.deepEqual(asked, [[command]])
  })
