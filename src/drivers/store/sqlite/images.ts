/** Image records in SQLite. */
import type { Generated, Kysely, Selectable, Transaction } from 'kysely'
import { AppError } from '../../../base/errors.ts'
import { parseImageConfig } from '../../../formats/oci/config.ts'
import { parseDigest, type Digest } from '../../../formats/oci/digest.ts'
import type { ImageConfig } from '../../../formats/oci/image.ts'
import type { ImageRecord } from '../../../services/images/image.ts'
import type { ImageStore } from '../../../services/images/ports.ts'
import type { Migration } from './database.ts'

export interface ImageTables {
  image: {
    id: string
    manifest_digest: string
    /** The documents, byte for byte. */
    manifest: Uint8Array
    config: Uint8Array
    stored_at: number
    created_at: number | null
  }
  image_layer: {
    image_id: string
    position: number
    diff_id: string
    digest: string
    media_type: string
    size_bytes: number
  }
  image_reference: { reference: string; image_id: string }
  image_repo_digest: { repo_digest: string; image_id: string; position: Generated<number> }
}

export const imageMigrations: readonly Migration[] = [
  {
    name: '001-images',
    statements: [
      `CREATE TABLE image (
        id TEXT PRIMARY KEY,
        manifest_digest TEXT NOT NULL,
        manifest BLOB NOT NULL,
        config BLOB NOT NULL,
        stored_at INTEGER NOT NULL,
        created_at INTEGER
      ) STRICT`,
      `CREATE TABLE image_layer (
        image_id TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        diff_id TEXT NOT NULL,
        digest TEXT NOT NULL,
        media_type TEXT NOT NULL,
        size_bytes INTEGER NOT NULL,
        PRIMARY KEY (image_id, position)
      ) STRICT`,
      'CREATE INDEX image_layer_diff_id ON image_layer (diff_id)',
      `CREATE TABLE image_reference (
        reference TEXT PRIMARY KEY,
        image_id TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE
      ) STRICT`,
      'CREATE INDEX image_reference_image ON image_reference (image_id)',
      `CREATE TABLE image_repo_digest (
        position INTEGER PRIMARY KEY,
        repo_digest TEXT NOT NULL,
        image_id TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE,
        UNIQUE (repo_digest, image_id)
      ) STRICT`,
      'CREATE INDEX image_repo_digest_image ON image_repo_digest (image_id)',
    ],
  },
]

/** @param db of a database that has `imageMigrations` */
export function createImageStore(db: Kysely<ImageTables>): ImageStore {
  const read = async (ids: readonly string[]) => readRecords(db, ids)
  return {
    async list() {
      const rows = await db.selectFrom('image').select('id').orderBy('stored_at', 'desc').orderBy('id').execute()
      return read(rows.map(({ id }) => id))
    },
    get: async (imageId) => (await read([imageId]))[0],
    async byReference(reference) {
      const row = await db
        .selectFrom('image_reference')
        .select('image_id')
        .where('reference', '=', reference)
        .executeTakeFirst()
      return row === undefined ? undefined : (await read([row.image_id]))[0]
    },
    async byRepoDigest(repoDigest) {
      const rows = await db
        .selectFrom('image_repo_digest')
        .select('image_id')
        .where('repo_digest', '=', repoDigest)
        .orderBy('position')
        .execute()
      return read(rows.map((row) => row.image_id))
    },
    async idsStartingWith(hex, limit) {
      if (!/^[0-9a-f]{1,128}$/.test(hex)) return []
      const rows = await db
        .selectFrom('image')
        .select('id')
        // Half-open range instead of LIKE, so that the primary key serves it; `g` follows `f`.
        .where((where) =>
          where.or(
            ['sha256', 'sha512'].map((algorithm) =>
              where.and([where('id', '>=', `${algorithm}:${hex}`), where('id', '<', `${algorithm}:${hex}g`)]),
            ),
          ),
        )
        .orderBy('id')
        .limit(limit)
        .execute()
      return rows.map(({ id }) => parseDigest(id))
    },
    put: (image) => db.transaction().execute((trx) => putRecord(trx, image)),
    tag: (imageId, reference) => db.transaction().execute((trx) => setReference(trx, imageId, reference)),
    async untag(reference) {
      const { numDeletedRows } = await db
        .deleteFrom('image_reference')
        .where('reference', '=', reference)
        .executeTakeFirst()
      return numDeletedRows > 0n
    },
    async remove(imageId) {
      await db.deleteFrom('image').where('id', '=', imageId).execute()
    },
    documents: () =>
      db.transaction().execute(async (trx) => {
        const rows = await trx.selectFrom('image').selectAll().orderBy('id').execute()
        const named = await trx.selectFrom('image_repo_digest').selectAll().orderBy('position').execute()
        return rows.map((row) => ({
          id: parseDigest(row.id),
          manifestDigest: parseDigest(row.manifest_digest),
          manifestBytes: row.manifest,
          configBytes: row.config,
          repoDigests: named.filter(({ image_id }) => image_id === row.id).map(({ repo_digest }) => repo_digest),
        }))
      }),
    async putDocuments(imageId, { manifestDigest, manifestBytes, configBytes }) {
      const documents = { manifest_digest: manifestDigest, manifest: manifestBytes, config: configBytes }
      await db.updateTable('image').set(documents).where('id', '=', imageId).execute()
    },
  }
}

async function putRecord(trx: Transaction<ImageTables>, image: ImageRecord): Promise<void> {
  const row = {
    id: image.id,
    manifest_digest: image.manifestDigest,
    manifest: image.manifestBytes,
    config: image.configBytes,
    stored_at: image.storedAtMs,
    created_at: image.createdAtMs ?? null,
  }
  await trx
    .insertInto('image')
    .values(row)
    .onConflict((conflict) => conflict.column('id').doUpdateSet(row))
    .execute()
  await trx.deleteFrom('image_layer').where('image_id', '=', image.id).execute()
  const layers = image.layers.map((layer, position) => ({
    image_id: image.id,
    position,
    diff_id: layer.diffId,
    digest: layer.digest,
    media_type: layer.mediaType,
    size_bytes: layer.sizeBytes,
  }))
  for (const layer of layers) await trx.insertInto('image_layer').values(layer).execute()
  for (const reference of image.references) await setReference(trx, image.id, reference)
  for (const repoDigest of image.repoDigests)
    await trx
      .insertInto('image_repo_digest')
      .values({ repo_digest: repoDigest, image_id: image.id })
      .onConflict((conflict) => conflict.doNothing())
      .execute()
}

async function setReference(trx: Transaction<ImageTables>, imageId: Digest, reference: string): Promise<void> {
  await trx
    .insertInto('image_reference')
    .values({ reference, image_id: imageId })
    .onConflict((conflict) => conflict.column('reference').doUpdateSet({ image_id: imageId }))
    .execute()
}

/** Records in the order of `ids`; ids without a record are left out. */
async function readRecords(db: Kysely<ImageTables>, ids: readonly string[]): Promise<ImageRecord[]> {
  if (ids.length === 0) return []
  // One transaction, so that the parts of a record are of one moment.
  return db.transaction().execute(async (trx) => {
    const records: ImageRecord[] = []
    for (const id of new Set(ids)) {
      const row = await trx.selectFrom('image').selectAll().where('id', '=', id).executeTakeFirst()
      if (row !== undefined) records.push(await readRecord(trx, row))
    }
    return records
  })
}

async function readRecord(trx: Transaction<ImageTables>, row: Selectable<ImageTables['image']>): Promise<ImageRecord> {
  const layers = await trx
    .selectFrom('image_layer')
    .selectAll()
    .where('image_id', '=', row.id)
    .orderBy('position')
    .execute()
  const references = await trx
    .selectFrom('image_reference')
    .select('reference')
    .where('image_id', '=', row.id)
    .orderBy('reference')
    .execute()
  const repoDigests = await trx
    .selectFrom('image_repo_digest')
    .select('repo_digest')
    .where('image_id', '=', row.id)
    .orderBy('position')
    .execute()
  const config = readConfig(row)
  return {
    id: parseDigest(row.id),
    manifestDigest: parseDigest(row.manifest_digest),
    references: references.map(({ reference }) => reference),
    repoDigests: repoDigests.map((digest) => digest.repo_digest),
    platform: config.platform,
    createdAtMs: row.created_at ?? undefined,
    storedAtMs: row.stored_at,
    sizeBytes: layers.reduce((sum, layer) => sum + layer.size_bytes, 0),
    layers: layers.map((layer) => ({
      diffId: parseDigest(layer.diff_id),
      digest: parseDigest(layer.digest),
      mediaType: layer.media_type,
      sizeBytes: layer.size_bytes,
    })),
    config,
    configBytes: row.config,
    manifestBytes: row.manifest,
  }
}

function readConfig({ id, config }: Selectable<ImageTables['image']>): ImageConfig {
  try {
    return parseImageConfig(config)
  } catch (cause) {
    throw new AppError(
      'internal',
      `Cannot read image ${id}: its config is damaged; "bareboat system check --repair" fetches it again`,
      { cause },
    )
  }
}
