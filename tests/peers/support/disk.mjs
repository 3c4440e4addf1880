// A filesystem of its own that is small and can be filled: a tmpfs under the test's folder. Works with server.mjs, whose data lies
// there. Only who may mount can have it; a test skips itself where nobody may. It goes away after the test in every case.
import { execFileSync } from 'node:child_process'
import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { folder, pause, run } from './parts.mjs'

/** What is written at once while there is room, and at last: a page. */
const STEPS_BYTES = [1 << 20, 4 << 10]

/** Why no filesystem can be mounted here; undefined where one can. */
export async function mountingIsRefused(t) {
  const place = await folder(t, 'kith-mount-')
  const { code, stderr } = await mount(place, 1)
  if (code !== 0) return stderr.trim() || 'there is no program `mount`'
  await run('umount', [place])
  return undefined
}

const mount = (place, megabytes) => run('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'kith-test', place])

/** Is mounted once `mount` is called. */
export class SmallDisk {
  constructor(t, megabytes) {
    Object.assign(this, { t, megabytes, filling: undefined })
  }

  /** Mounts it, to be unmounted after the test, and gives its place. */
  async mount() {
    // First of all that is asked for here, so that it is unmounted before the folder goes.
    this.t.after(() => this.#unmount())
    this.place = await folder(this.t, 'kith-disk-')
    const { code, stderr } = await mount(this.place, this.megabytes)
    if (code !== 0) throw new Error(`mount: ${stderr}`)
    this.mounted = true
    process.once('exit', () => this.mounted && execFileSync('umount', ['--lazy', this.place]))
    return this.place
  }

  /** Fills it to its last page, and again whenever something has gone away, until `free`. Gives when it is full for the first time. */
  fill() {
    const file = openSync(join(this.place, 'filler'), 'a')
    fillUp(file)
    this.filling = { file, on: true }
    this.filling.ended = (async filling => {
      while (filling.on) {
        fillUp(file)
        await pause(5)
      }
    })(this.filling)
  }

  /** Removes all that filled it. */
  async free() {
    this.filling.on = false
    await this.filling.ended
    closeSync(this.filling.file)
    rmSync(join(this.place, 'filler'))
    this.filling = undefined
  }

  async #unmount() {
    if (this.filling) await this.free()
    if (!this.mounted) return
    const { code, stderr } = await run('umount', [this.place])
    // Something has a file open that should have ended: it goes away with that.
    if (code !== 0) await run('umount', ['--lazy', this.place])
    this.mounted = false
    if (code !== 0) throw new Error(`umount: ${stderr}`)
  }
}

function fillUp(file) {
  for (const bytes of STEPS_BYTES) {
    try {
      for (;;) writeSync(file, Buffer.alloc(bytes, 1))
    } catch (error) {
      if (error.code !== 'ENOSPC') throw error
    }
  }
}
