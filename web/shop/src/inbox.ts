// The visitor's inbox. Mail is shown in a frame that may run nothing and reach nothing. It asks the server every few
// seconds while the page is seen, and at once when a message is told to be on its way.
import { announce, fill, h } from './dom'
import { type Mail, readInbox } from './types'

const ASKS_EVERY_MS = 2_500
const MAILS_SHOWN = 4

/** The panel of the inbox. */
export class Inbox {
  readonly element: HTMLElement
  private email = ''
  private mails: Mail[] = []
  private opened = ''
  private failures = 0
  private onItsWay = false
  private isIn = false
  /** Whether the visitor's answer to mail was no when they entered the segment that they are in. */
  private withheld = false
  private readonly list = h('ul', { class: 'mails' })
  private readonly note = h('p', { class: 'empty' })
  private readonly link: HTMLAnchorElement
  /** Stays in sight wherever the inbox is, and says when there is something new in it. */
  readonly notice = h('button', { type: 'button', class: 'mail-notice', hidden: true })
  private unseen = false
  private inSight = false
  private asked = false

  constructor(
    inboxUrl: string,
    private readonly segment: string,
    private readonly agreed: () => boolean | undefined,
  ) {
    this.link = h(
      'a',
      { href: inboxUrl || '#', target: '_blank', rel: 'noopener', hidden: inboxUrl === '' },
      'Open the whole inbox',
    )
    this.element = h(
      'section',
      { class: 'panel inbox', 'aria-labelledby': 'inbox-title' },
      h('div', { class: 'panel-head' }, h('h2', { id: 'inbox-title' }, 'Your inbox'), this.link),
      this.note,
      this.list,
    )
    this.notice.addEventListener('click', () => this.reveal())
    new IntersectionObserver(
      (entries) => {
        this.inSight = entries.some((entry) => entry.isIntersecting)
        if (this.inSight) this.unseen = false
        this.showNotice()
      },
      { rootMargin: '0px 0px -80px 0px' },
    ).observe(this.list)
    this.show()
    setInterval(() => {
      if (!document.hidden) void this.ask()
    }, ASKS_EVERY_MS)
  }

  /** Whose inbox it is. */
  of(email: string): void {
    if (email !== this.email) {
      this.mails = []
      this.opened = ''
      this.asked = false
      this.unseen = false
    }
    this.email = email
    this.show()
    void this.ask()
  }

  /** A message was handed to the mail server. */
  expect(): void {
    this.onItsWay = true
    this.show()
    void this.ask()
  }

  /** Takes whether the visitor is in the segment: to enter it sends a mail to who agreed. */
  follow(isIn: boolean): void {
    if (isIn === this.isIn) return
    this.isIn = isIn
    this.withheld = isIn && this.agreed() !== true
    if (this.withheld) announce('No mail is sent: your answer to mail is no.')
    this.show()
  }

  private async ask(): Promise<void> {
    const email = this.email
    if (email === '') return
    try {
      const reply = await fetch(`/demo/inbox?email=${encodeURIComponent(email)}`, {
        signal: AbortSignal.timeout(5_000),
      })
      if (!reply.ok) throw new Error(`the inbox answered ${reply.status}`)
      const mails = readInbox(await reply.json())
      if (email !== this.email) return
      this.failures = 0
      const newest = mails[0]
      const arrived = newest !== undefined && newest.id !== this.mails[0]?.id
      const changed = arrived || mails.length !== this.mails.length
      this.mails = mails
      if (arrived) {
        this.onItsWay = false
        this.opened = newest.id
        // Those that were there before the page was opened are no news.
        if (this.asked) {
          this.unseen = !this.inSight
          announce(`New mail: ${newest.subject}`)
        }
      }
      this.asked = true
      if (changed || this.note.dataset['state'] === 'lost') this.show()
    } catch {
      this.failures += 1
      if (this.failures === 3) this.show()
    }
  }

  private reveal(): void {
    const calm = matchMedia('(prefers-reduced-motion: reduce)').matches
    this.element.scrollIntoView({ block: 'start', behavior: calm ? 'auto' : 'smooth' })
    this.list.querySelector('button')?.focus({ preventScroll: true })
    this.unseen = false
    this.showNotice()
  }

  private showNotice(): void {
    const { length } = this.mails
    this.notice.hidden = length === 0 || this.inSight
    this.notice.dataset['state'] = this.unseen ? 'new' : 'seen'
    const subject = this.mails[0]?.subject || 'No subject'
    fill(
      this.notice,
      h('span', {}, this.unseen ? `New mail: ${subject}` : `Your inbox: ${length} mail${length === 1 ? '' : 's'}`),
      h('b', {}, this.unseen ? 'Read it' : 'Show'),
    )
  }

  private show(): void {
    this.showNotice()
    this.note.dataset['state'] = this.failures >= 3 ? 'lost' : this.onItsWay ? 'coming' : 'quiet'
    this.note.textContent = this.words()
    this.note.hidden = this.note.textContent === ''
    fill(
      this.list,
      ...this.mails.slice(0, MAILS_SHOWN).map((mail) => {
        const open = (): void => {
          this.opened = this.opened === mail.id ? '' : mail.id
          this.show()
        }
        return h(
          'li',
          {},
          h(
            'button',
            {
              type: 'button',
              class: 'envelope',
              'aria-expanded': mail.id === this.opened ? 'true' : 'false',
              onclick: open,
            },
            h('span', { class: 'envelope-from' }, sender(mail.from)),
            h('time', {}, new Date(mail.date).toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' })),
            h('span', { class: 'envelope-subject' }, mail.subject || 'No subject'),
          ),
          mail.id === this.opened && this.framed(mail),
        )
      }),
    )
    this.list.hidden = this.mails.length === 0
  }

  /** The mail in a frame without scripts, forms, or an origin. */
  private framed(mail: Mail): HTMLIFrameElement {
    const plain = `<pre style="white-space:pre-wrap;font:15px/1.6 sans-serif;margin:20px">${escaped(mail.text)}</pre>`
    return h('iframe', {
      class: 'mail',
      title: `Mail: ${mail.subject}`,
      sandbox: '',
      referrerpolicy: 'no-referrer',
      srcdoc: mail.html || plain,
    })
  }

  private words(): string {
    if (this.failures >= 3) return 'The inbox does not answer. Asking again …'
    if (this.onItsWay) return 'A mail is on its way …'
    if (this.email === '') return 'Empty. It is yours once you say who you are.'
    if (this.agreed() !== true) {
      return this.withheld
        ? `You entered ${this.segment}, but no mail is sent to ${this.email}: your answer to mail is no.`
        : `No mail is sent to ${this.email}: your answer to mail is no.`
    }
    if (this.withheld)
      return `You entered ${this.segment} when your answer to mail was no. Buy again once you have left it, and a mail comes.`
    if (this.mails.length > 0) return ''
    return `Nothing for ${this.email} yet. Buy something.`
  }
}

function sender(from: string): string {
  return from.replace(/\s*<[^>]*>\s*$/, '').replace(/^"|"$/g, '') || from
}

function escaped(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;')
}
