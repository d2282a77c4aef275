/** Whether an NFS server answers: the NULL procedure over TCP. */
import { connect } from 'node:net'
import { WireError } from '../../base/errors.ts'
import { NFS_PROGRAM, parseNullReply, serializeNullCall } from '../../wire/rpc/null-call.ts'

const XID = 0x62626e66
const NFS_VERSION = 4

/** @param deadlineMs how long it may take, milliseconds  @returns false for whatever is not an answer of NFSv4 */
export function answersNfs(address: string, port: number, deadlineMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port })
    let bytes: Buffer = Buffer.alloc(0)
    const end = (isAnswer: boolean): void => {
      socket.destroy()
      resolve(isAnswer)
    }
    socket.setTimeout(deadlineMs, () => end(false))
    socket.on('error', () => end(false))
    socket.on('close', () => end(false))
    socket.on('connect', () =>
      socket.write(serializeNullCall({ xid: XID, program: NFS_PROGRAM, version: NFS_VERSION })),
    )
    socket.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk])
      try {
        const reply = parseNullReply(bytes)
        if (reply) end(reply.xid === XID && reply.status === 0)
      } catch (error) {
        if (!(error instanceof WireError)) throw error
        end(false)
      }
    })
  })
}
