// A real mail server with an inbox to look into: npm's `maildev`, on free ports of loopback.
import { spawn } from 'node:child_process'
import { dirname, join } from 'node:path'
import { folder, freePort, load, until } from './parts.mjs'

/** Starts it. It ends, and its mails go away, after the test. */
export async function startMailServer(t) {
  let child
  t.after(() => child?.kill('SIGKILL'))
  const mails = await folder(t, 'kith-mail-')
  const [smtp, web, unused] = [await freePort(), await freePort(), await freePort()]
  const entry = load.resolve('maildev')
  const binary = join(dirname(entry), 'bin', 'maildev.js')
  const args = ['--smtp', String(smtp), '--web', String(web), '--ip', '127.0.0.1', '--web-ip', '127.0.0.1', '--mail-directory', mails, '--silent']
  child = spawn(process.execPath, [binary, ...args], { stdio: ['ignore', 'ignore', 'inherit'] })
  const inbox = `http://127.0.0.1:${web}`
  const all = async () => {
    const response = await fetch(`${inbox}/email`, { signal: AbortSignal.timeout(10_000) })
    if (!response.ok) throw new Error(`the inbox answered ${response.status}`)
    return response.json()
  }
  await until('the mail server', async () => Array.isArray(await all()))
  const of = async address => (await all()).filter(mail => mail.to?.some(to => to.address === address))
  return {
    smtp: `127.0.0.1:${smtp}`,
    smtpPort: smtp,
    inbox,
    webPort: web,
    /** A port where no mail server is. */
    unused,
    /** All mails to an address. */
    of,
    /** The first mail to an address, once there is one. */
    next: address => until(`a mail to ${address}`, async () => (await of(address))[0]),
  }
}
