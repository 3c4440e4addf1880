// A real mail server with an inbox to look into: npm's `maildev`, on free ports of loopback.
import { folder, freePort, packageFile, startProcess, until } from './parts.mjs'

/** Starts it. It ends, and its mails go away, after the test. */
export async function startMailServer(t) {
  let child
  t.after(() => child?.kill('SIGKILL'))
  const mails = await folder(t, 'kith-mail-')
  const [smtp, web, unused] = [await freePort(), await freePort(), await freePort()]
  const args = ['--smtp', String(smtp), '--web', String(web), '--ip', '127.0.0.1', '--web-ip', '127.0.0.1', '--mail-directory', mails, '--silent']
  child = startProcess(process.execPath, [packageFile('maildev/dist/bin/maildev.js'), ...args], { stdio: ['ignore', 'ignore', 'inherit'] })
  const inbox = `http://127.0.0.1:${web}`
  const get = async path => {
    const response = await fetch(`${inbox}/api/email${path}`, { signal: AbortSignal.timeout(10_000) })
    if (!response.ok) throw new Error(`the inbox answered ${response.status}`)
    return response
  }
  const all = async () => (await get('')).json()
  await until('the mail server', async () => Array.isArray(await all()))
  const of = async address => (await all()).filter(mail => mail.to?.some(to => to.address === address))
  return {
    smtp: `127.0.0.1:${smtp}`,
    inbox,
    inboxAddress: `127.0.0.1:${web}`,
    /** A port where no mail server is. */
    unused,
    /** All mails to an address. */
    of,
    /** The first mail to an address, once there is one, with its header fields as they were sent. */
    next: async (address, options) => {
      const mail = await until(`a mail to ${address}`, async () => (await of(address))[0], options)
      return { ...mail, headers: headerFields(await (await get(`/${mail.id}/source`)).text()) }
    },
  }
}

/** The header fields of a mail by their names in lower case. */
function headerFields(source) {
  const [head] = source.split(/\r?\n\r?\n/, 1)
  const lines = head.replace(/\r?\n[ \t]+/g, ' ').split(/\r?\n/)
  return Object.fromEntries(lines.map(line => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]))
}
