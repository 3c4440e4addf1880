// The demo as a newcomer meets it: the world streams in, then a visitor in a real browser says who they are, agrees, buys,
// sees the event pass every station and the mail arrive, and a minute later leaves the segment by time alone.
// KITH_SHOTS names a folder for pictures. Runs alone: `node --test tests/peers/shop.test.mjs`.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { startMailServer } from './support/mail.mjs'
import { chromium, folder, freePort, kithBinary, load, root, startProcess, until, within } from './support/parts.mjs'

test('act_6_the_demo_shows_a_visitor_their_own_event_from_door_to_mail_and_out_again', { timeout: 300_000 }, async t => {
  let demo
  let browser
  t.after(() => demo?.kill('SIGKILL'))
  t.after(() => browser?.close())
  const home = await folder(t)
  const mail = await startMailServer(t)
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const args = ['demo', '--events', '2000', '--http', `127.0.0.1:${port}`, '--data', join(home, 'data'), '--seed', '7',
    '--inbox', mail.smtp, '--inbox-web', mail.inboxAddress]
  demo = startProcess(kithBinary, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [demo.stdout, demo.stderr]) stream.setEncoding('utf8').on('data', text => (said += text))
  const begun = Date.now()
  await until('the world to be loaded', async () => {
    if (demo.exitCode !== null) throw new Error(`the demo ended with ${demo.exitCode}`)
    return said.includes(`Open the shop   ${url}/`)
  }, { within: 120_000, every: 200 }).catch(error => {
    throw new Error(`${error.message}\n${said}`, { cause: error })
  })
  t.diagnostic(`a world of 2,000 events was loaded after ${Date.now() - begun} ms`)
  assert.match(said, /precision (1\.0000|0\.99\d+) · recall (1\.0000|0\.99\d+)/, 'people are found as the truth has them')
  assert.match(said, /Mails +0 in the inbox/, 'a history sends no mail')

  const { chromium: driver } = load('playwright-core')
  browser = await driver.launch({ executablePath: chromium, args: ['--no-sandbox'] })
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } })
  const faults = []
  page.on('pageerror', error => faults.push(error.message))
  page.on('console', message => message.type() === 'error' && faults.push(message.text()))
  const shots = process.env.KITH_SHOTS
  if (shots) await mkdir(shots, { recursive: true })
  const shot = name => shots && page.screenshot({ path: join(shots, `${name}.png`) })
  await page.goto(url)
  await page.waitForSelector('.state[data-state=live]', { timeout: 20_000 })
  await shot('1-open')
  await page.getByLabel('First name').fill('Robin')
  await page.getByLabel('E-mail').fill('robin@shop.example.com')
  await page.getByLabel(/write to me/).check()
  await page.getByRole('button', { name: 'That’s me' }).click()
  await page.getByRole('button', { name: 'Buy Dawn Lamp' }).click()
  const bought = Date.now()
  await until('every station to light up', async () => (await page.locator('.station[data-state=there]').count()) === 4)
  await page.waitForSelector('.featured[data-state=in]', { timeout: 20_000 })
  await page.waitForSelector('.envelope', { timeout: 20_000 })
  await shot('2-bought')
  // Where the inbox is below the fold, a word of it stays in sight and leads there.
  await page.setViewportSize({ width: 1350, height: 850 })
  await page.waitForSelector('.mail-notice', { state: 'visible' })
  await page.locator('.mail-notice').click()
  await page.waitForSelector('.mail-notice', { state: 'hidden' })
  await page.setViewportSize({ width: 1440, height: 900 })
  const [letter] = await mail.of('robin@shop.example.com')
  assert.match(letter.subject, /Robin/)
  // The window of the segment is one minute of the order's time.
  await page.waitForSelector('.featured[data-state=left]', { timeout: 90_000 })
  const stayed = Date.now() - bought
  await shot('3-left')
  // A page that is loaded again still knows how it came to be.
  const told = async () => ({
    changes: await page.locator('.changes').innerText(),
    notes: await page.locator('.station-note').allInnerTexts(),
    times: await page.locator('.station-time').allInnerTexts(),
    chosen: await page.locator('.trip[aria-pressed=true]').allInnerTexts(),
  })
  const before = await told()
  assert.match(before.chosen.join(), /Order Completed/, 'the newest event of a click is shown')
  assert.match(before.changes, /just_bought left: only time went by/)
  assert.match(before.changes, /just_bought entered: /)
  assert.doesNotMatch(before.changes, /they did|did not do/)
  // Each load is an event too, and the server tells the present each time: neither may push out what was.
  for (let times = 0; times < 8; times += 1) {
    await page.reload()
    await page.waitForSelector('.state[data-state=live]', { timeout: 20_000 })
    await page.waitForSelector('.featured[data-state=left]', { timeout: 20_000 })
    await page.waitForSelector('.trip:has-text("Shop") .on:nth-child(3)', { timeout: 20_000 })
    assert.deepEqual(await told(), before)
  }
  await shot('4-again')
  assert.ok(stayed > 55_000, `left after ${stayed} ms, before the minute was over`)
  assert.equal((await mail.of('robin@shop.example.com')).length, 1)
  assert.deepEqual(faults, [])

  demo.kill('SIGTERM')
  const [code] = await within(60_000, once(demo, 'exit'), ['still running'])
  assert.equal(code, 0, said.slice(-2_000))
})
