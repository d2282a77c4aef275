/** What the boot service needs of the outside. */

/** One power-on of a machine for a container. A restart is a new boot with new secrets. */
export interface Boot {
  /** 32 random bytes in base64url: the only name under which the machine's files are served. */
  readonly token: string
  readonly containerId: string
  readonly machineId: string
  /** SSH host key of the machine: the 32-byte ed25519 seed and its public key, hexadecimal. */
  readonly hostKeySeed: string
  readonly hostKeyPublic: string
  /** The server's own key for this boot: private in OpenSSH form, public as one line. */
  readonly clientKey: string
  readonly clientPublic: string
  readonly createdAt: number
  /** The address that has read the secrets; nobody else gets them. */
  readonly claimedBy?: string
}

export interface BootStore {
  /** Ends the machine's open boot, if any, and opens this one, in one transaction. */
  open(boot: Boot): Promise<void>
  /** The open boot with this token. */
  byToken(token: string): Promise<Boot | undefined>
  openOf(machineId: string): Promise<Boot | undefined>
  /** Tokens of all open boots, by machine. */
  tokens(): Promise<ReadonlyMap<string, string>>
  byContainer(containerId: string): Promise<Boot | undefined>
  /** Remembers who reads the secrets. @returns false when another address did before */
  claim(token: string, address: string): Promise<boolean>
  /** From now on the token opens nothing. */
  end(token: string): Promise<void>
}
