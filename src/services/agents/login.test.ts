import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GuestAddress, GuestProcess } from '../containers/ports.ts'
import type { StoredMachine } from '../machines/ports.ts'
import { publicKeyBlob } from '../../formats/ssh/keys.ts'
import { createLogin } from './login.ts'
import { createSessions } from './sessions.ts'

const file = { sizeBytes: 0, pieces: () => [] }
const machine = { id: 'm', name: 'm1' } as StoredMachine

test('login: by the keys of the session, to the address that it spoke from; the connection ends with the process', async () => {
  const sessions = createSessions(() => 0)
  const { token, ...opened } = sessions.open('52:54:00:00:00:01', { kernel: file, initrd: file, tools: file })
  assert.equal(opened.keys, undefined)
  const session = sessions.heard(token, '10.0.0.50')!
  session.machineId = 'm'
  const seen: GuestAddress[] = []
  const ended: string[] = []
  const process = { [Symbol.asyncDispose]: async () => void ended.push('process') } as unknown as GuestProcess
  const login = createLogin({
    sessions,
    guest: {
      async connect(address) {
        seen.push(address)
        return {
          closed: new AbortController().signal,
          run: async () => process,
          [Symbol.asyncDispose]: async () => void ended.push('connection'),
        }
      },
    },
  })
  {
    await using _running = await login.run(machine, 'ask', ['ipmi'])
    assert.deepEqual([seen[0]!.ip, seen[0]!.port], ['10.0.0.50', 1622])
    assert.deepEqual(seen[0]!.hostKey, publicKeyBlob(sessions.keysOf(session).host.publicKey))
    assert.deepEqual(ended, [])
  }
  assert.deepEqual(ended, ['process', 'connection'])
})

test('login: to a machine that is not in the agent is refused, with where to go instead', async () => {
  const login = createLogin({
    sessions: createSessions(() => 0),
    guest: { connect: () => Promise.reject(new Error('nobody connects')) },
  })
  const refused = (of: StoredMachine, message: RegExp) =>
    assert.rejects(login.run(of, 'open a shell on', ['shell']), { message })
  await refused(machine, /^Cannot open a shell on machine "m1": it is not in the agent now; cordon it/)
  const runs = { ...machine, containerId: 'c0ffee'.repeat(8) }
  await refused(runs, /it runs container c0ffeec0ffee; into that goes: bareboat exec -it c0ffeec0ffee sh$/)
})
