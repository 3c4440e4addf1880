// The demo as a newcomer meets it: the world streams in, then a visitor in a real browser says who they are, agrees, buys,
// sees the event pass every station and the mail arrive, and a minute later leaves the segment by time alone. Another says
// no to mail, enters the segment all the same, and gets none. KITH_SHOTS names a folder for pictures. Runs alone:
// `node --test tests/peers/shop.test.mjs`.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { startMailServer } from './support/mail.mjs'
import { chromium, folder, freePort, kithBinary, load, root, run, startProcess, until, within } from './support/parts.mjs'

let demo
let browser
let mail
let url
let said = ''
let loadedAfter
const shots = process.env.KITH_SHOTS
const afterwards = []
const hooks = { after: task => afterwards.push(task) }

before(async () => {
  const home = await folder(hooks)
  mail = await startMailServer(hooks)
  const port = await freePort()
  url = `http://127.0.0.1:${port}`
  const args = ['demo', '--events', '2000', '--http', `127.0.0.1:${port}`, '--data', join(home, 'data'), '--seed', '7',
    '--inbox', mail.smtp, '--inbox-web', mail.inboxAddress]
  demo = startProcess(kithBinary, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
  for (const stream of [demo.stdout, demo.stderr]) stream.setEncoding('utf8').on('data', text => (said += text))
  const begun = Date.now()
  await until('the world to be loaded', async () => {
    if (demo.exitCode !== null) throw new Error(`the demo ended with ${demo.exitCode}`)
    return said.includes(`Open the shop   ${url}/`)
  }, { within: 120_000, every: 200 }).catch(error => {
    throw new Error(`${error.message}\n${said}`, { cause: error })
  })
  loadedAfter = Date.now() - begun
  if (shots) await mkdir(shots, { recursive: true })
  const { chromium: driver } = load('playwright-core')
  browser = await driver.launch({ executablePath: chromium, args: ['--no-sandbox'] })
})
after(async () => {
  await browser?.close()
  try {
    if (!demo) return
    demo.kill('SIGTERM')
    const [code] = demo.exitCode === null ? await within(60_000, once(demo, 'exit'), ['still running']) : [demo.exitCode]
    assert.equal(code, 0, said.slice(-2_000))
  } finally {
    demo?.kill('SIGKILL')
    for (const task of afterwards) await task()
  }
})

/** A visitor with a browser of their own, who has said who they are. */
async function visitor(t, { name, agrees }) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } })
  t.after(() => context.close())
  const page = await context.newPage()
  const faults = []
  page.on('pageerror', error => faults.push(error.message))
  page.on('console', message => message.type() === 'error' && faults.push(message.text()))
  const shot = what => shots && page.screenshot({ path: join(shots, `${what}.png`) })
  await page.goto(url)
  await page.waitForSelector('.state[data-state=live]', { timeout: 20_000 })
  await shot(`${name}-1-open`)
  const address = `${name.toLowerCase()}@shop.example.com`
  await page.getByLabel('First name').fill(name)
  await page.getByLabel('E-mail').fill(address)
  await page.getByLabel(/write to me/).setChecked(agrees)
  await page.getByRole('button', { name: 'That’s me' }).click()
  await page.getByRole('button', { name: 'Buy Dawn Lamp' }).click()
  const bought = Date.now()
  await until('every station to light up', async () => (await page.locator('.station[data-state=there]').count()) === 4)
  await page.waitForSelector('.featured[data-state=in]', { timeout: 20_000 })
  return { page, faults, shot, address, bought }
}

test('act_6_the_demo_shows_a_visitor_their_own_event_from_door_to_mail_and_out_again', { timeout: 300_000 }, async t => {
  t.diagnostic(`a world of 2,000 events was loaded after ${loadedAfter} ms`)
  assert.match(said, /precision (1\.0000|0\.99\d+) · recall (1\.0000|0\.99\d+)/, 'people are found as the truth has them')
  assert.match(said, /Mails +0 in the inbox/, 'a history sends no mail')

  const { page, faults, shot, address, bought } = await visitor(t, { name: 'Robin', agrees: true })
  await page.waitForSelector('.envelope', { timeout: 20_000 })
  await shot('Robin-2-bought')
  // Where the inbox is below the fold, a word of it stays in sight and leads there.
  await page.setViewportSize({ width: 1350, height: 850 })
  await page.waitForSelector('.mail-notice', { state: 'visible' })
  await page.locator('.mail-notice').click()
  await page.waitForSelector('.mail-notice', { state: 'hidden' })
  await page.setViewportSize({ width: 1440, height: 900 })
  const [letter] = await mail.of(address)
  assert.match(letter.subject, /Robin/)
  // The window of the segment is one minute of the order's time.
  await page.waitForSelector('.featured[data-state=left]', { timeout: 90_000 })
  const stayed = Date.now() - bought
  await shot('Robin-3-left')
  // A page that is loaded again still knows how it came to be.
  const told = async () => ({
    changes: await page.locator('.changes').innerText(),
    notes: await page.locator('.station-note').allInnerTexts(),
    times: await page.locator('.station-time').allInnerTexts(),
    chosen: await page.locator('.trip[aria-pressed=true]').allInnerTexts(),
  })
  const was = await told()
  assert.match(was.chosen.join(), /Order Completed/, 'the newest event of a click is shown')
  assert.match(was.changes, /just_bought left: only time went by/)
  assert.match(was.changes, /just_bought entered: /)
  assert.doesNotMatch(was.changes, /they did|did not do/)
  // Each load is an event too, and the server tells the present each time: neither may push out what was.
  for (let times = 0; times < 8; times += 1) {
    await page.reload()
    await page.waitForSelector('.state[data-state=live]', { timeout: 20_000 })
    await page.waitForSelector('.featured[data-state=left]', { timeout: 20_000 })
    await page.waitForSelector('.trip:has-text("Shop") .on:nth-child(3)', { timeout: 20_000 })
    assert.deepEqual(await told(), was)
  }
  await shot('Robin-4-again')
  assert.ok(stayed > 55_000, `left after ${stayed} ms, before the minute was over`)
  assert.equal((await mail.of(address)).length, 1)
  assert.deepEqual(faults, [])
})

test('act_6_a_visitor_who_says_no_enters_the_segment_and_is_told_why_no_mail_is_sent', { timeout: 120_000 }, async t => {
  const { page, faults, shot, address } = await visitor(t, { name: 'Nora', agrees: false })
  await until('the changes to be told', async () => /just_bought entered: /.test(await page.locator('.changes').innerText()))
  const inbox = page.locator('.inbox .empty')
  await until('the inbox to say so', async () => (await inbox.innerText()).includes('no mail is sent'))
  assert.equal(await inbox.innerText(), `You entered just_bought, but no mail is sent to ${address}: your answer to mail is no.`)
  const station = page.locator('.station').last()
  await until('the station to say so', async () => (await station.locator('.station-note').innerText()).includes('No mail is sent'))
  assert.match(await station.locator('.station-note').innerText(), /You entered just_bought\..* No mail is sent: your answer to mail is no\.$/)
  await shot('Nora-2-bought')
  // The message itself refused: its send has come to its end, and none waits.
  const [, key] = said.match(/KITH_KEY=(\S+)/)
  const kith = async (...args) => {
    const { code, stdout, stderr } = await run(kithBinary, [...args, '--json'], { env: { KITH_URL: url, KITH_KEY: key } })
    assert.equal(code, 0, stderr)
    return stdout.split('\n').filter(Boolean).map(line => JSON.parse(line))
  }
  const [{ id }] = await kith('profile', 'get', `email:${address}`)
  const sends = await until('the send to end', async () => {
    const found = await kith('messages', 'list', '--profile', id)
    return found.length > 0 && !found.some(send => ['reserved', 'attempting'].includes(send.state)) ? found : undefined
  })
  assert.deepEqual(sends.map(send => [send.message, send.state, send.reason]), [['order_thanks', 'skipped', 'no_consent']])
  assert.deepEqual(await mail.of(address), [])
  assert.equal(await page.locator('.envelope').count(), 0)
  assert.deepEqual(faults, [])
})
