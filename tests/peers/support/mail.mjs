// Real mail servers on free ports of loopback: npm's `maildev` with an inbox to look into, one that refuses and one that is slow
// to answer, by npm's `smtp-server`, which is what maildev takes mail with.
import { createRequire } from 'node:module'
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

/**
 * A mail server that refuses whoever is called `gone` for good, puts `busy` off once, and takes the rest. `asked` has every
 * recipient that it was asked to take, `taken` those whose mail it took.
 */
export async function refusingMailServer(t) {
  const refused = (code, text) => Object.assign(new Error(text), { responseCode: code })
  const found = { asked: [], taken: [] }
  const smtp = await listening(t, {
    onRcptTo({ address }, _session, answer) {
      const again = found.asked.includes(address)
      found.asked.push(address)
      if (address.startsWith('gone@')) return answer(refused(550, '5.1.1 no such mailbox here'))
      if (address.startsWith('busy@') && !again) return answer(refused(450, '4.2.1 mailbox busy, try again'))
      return answer()
    },
    onData: (stream, session, answer) => stream.resume().on('end', () => {
      found.taken.push(...recipients(session))
      answer()
    }),
  })
  return { smtp, ...found }
}

/**
 * A mail server that takes every mail. After `hold` it takes the mail and leaves the sender without an answer until `letGo`.
 * `taken` has the recipients of every mail that it has, `held` tells how many mails wait for their answer.
 */
export async function holdingMailServer(t) {
  const taken = []
  const waiting = []
  let holding = false
  const smtp = await listening(t, {
    onData: (stream, session, answer) => stream.resume().on('end', () => {
      taken.push(...recipients(session))
      if (holding) waiting.push(answer)
      else answer()
    }),
  })
  return {
    smtp,
    taken,
    held: () => waiting.length,
    hold: () => (holding = true),
    letGo() {
      holding = false
      for (const answer of waiting.splice(0)) answer()
    },
  }
}

const recipients = session => session.envelope.rcptTo.map(to => to.address)

/** Starts a server with handlers of its own, in clear and without log-in. It ends after the test. Gives its address. */
async function listening(t, handlers) {
  const { SMTPServer } = createRequire(packageFile('maildev/package.json'))('smtp-server')
  const server = new SMTPServer({ authOptional: true, disabledCommands: ['AUTH', 'STARTTLS'], ...handlers })
  // Whoever is killed breaks off.
  server.on('error', () => {})
  const port = await freePort()
  await new Promise((done, failed) => server.listen(port, '127.0.0.1', done).on('error', failed))
  t.after(() => new Promise(done => server.close(done)))
  return `127.0.0.1:${port}`
}
