// The front of the shop: who the visitor is, and the six things on sale. It knows nothing of the journey; it calls what
// it was given when the visitor introduces themselves, buys, or starts over.
import { PRODUCTS, type Product, priced } from './catalogue'
import { announce, drawing, fill, h } from './dom'
import type { Visitor } from './tracking'

/** What the front tells others. */
export interface Counter {
  introduce(visitor: Visitor): Promise<void>
  buy(product: Product): Promise<void>
  startOver(): void
}

/** The front of the shop. */
export class Front {
  private visitor: Visitor | null = null
  private counter: Counter | null = null
  private wanted: Product | null = null
  private readonly card = h('section', { class: 'who', 'aria-labelledby': 'who-title' })
  private readonly buttons: HTMLButtonElement[] = []

  constructor(root: HTMLElement) {
    const goods = h('ul', { class: 'goods' }, ...PRODUCTS.map((product) => this.tile(product)))
    fill(
      root,
      h(
        'header',
        { class: 'sign' },
        h('p', { class: 'mark' }, h('i', { 'aria-hidden': 'true' }), 'Kith Shop'),
        h('p', { class: 'fine' }, 'A demo. Nothing is charged or delivered.'),
      ),
      h(
        'div',
        { class: 'hero' },
        h('h1', {}, 'Buy something. Then watch your click.'),
        h('p', {}, 'Everything you do here is an event. Behind the counter you see where each one goes, live.'),
      ),
      this.card,
      goods,
    )
    this.showForm(null)
  }

  /** Opens the shop. */
  open(counter: Counter, visitor: Visitor | null): void {
    this.counter = counter
    this.visitor = visitor
    for (const button of this.buttons) button.disabled = false
    // What was typed while the shop opened stays.
    if (visitor) this.showName(visitor)
    else this.card.querySelectorAll('button').forEach((button) => (button.disabled = false))
  }

  private tile(product: Product): HTMLElement {
    const button = h(
      'button',
      { type: 'button', class: 'buy', disabled: true },
      h('span', {}, 'Buy'),
      h('span', { class: 'unseen' }, ` ${product.name} for ${priced(product.price)}`),
    )
    button.addEventListener('click', () => void this.buy(product, button))
    this.buttons.push(button)
    return h(
      'li',
      { class: `tile ${product.slug}` },
      h('div', { class: 'art' }, drawing(product.art)),
      h('div', { class: 'label' }, h('h2', {}, product.name), h('p', {}, product.line)),
      h('div', { class: 'till' }, h('span', { class: 'price' }, priced(product.price)), button),
    )
  }

  private async buy(product: Product, button: HTMLButtonElement): Promise<void> {
    if (!this.counter || button.dataset['state'] === 'busy') return
    if (!this.visitor) {
      this.wanted = product
      this.askFirst(product)
      return
    }
    const word = button.firstElementChild ?? button
    button.dataset['state'] = 'busy'
    word.textContent = 'Buying …'
    try {
      await this.counter.buy(product)
      button.dataset['state'] = 'done'
      word.textContent = 'Bought'
    } catch {
      button.dataset['state'] = 'failed'
      word.textContent = 'Try again'
      announce('The order could not be sent. Try again.')
    }
    setTimeout(() => {
      if (button.dataset['state'] === 'busy') return
      delete button.dataset['state']
      word.textContent = 'Buy'
    }, 1_800)
  }

  private askFirst(product: Product): void {
    const note = this.card.querySelector<HTMLElement>('.who-error')
    if (note) {
      note.textContent = `Say who you are, and the ${product.name} is yours.`
      note.dataset['tone'] = 'nudge'
      note.hidden = false
    }
    this.card.scrollIntoView({
      block: 'center',
      behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth',
    })
    this.card.querySelector('input')?.focus({ preventScroll: true })
  }

  private showForm(known: Visitor | null): void {
    const name = h('input', {
      id: 'first-name',
      name: 'first-name',
      autocomplete: 'given-name',
      required: true,
      maxlength: 60,
      placeholder: 'Robin',
      value: known?.firstName ?? '',
    })
    const email = h('input', {
      id: 'email',
      name: 'email',
      type: 'email',
      pattern: '.+@.+[.].+',
      autocomplete: 'email',
      required: true,
      maxlength: 200,
      placeholder: 'robin@example.com',
      value: known?.email ?? '',
    })
    const marketing = h('input', {
      id: 'marketing',
      name: 'marketing',
      type: 'checkbox',
      checked: known?.marketing === true,
    })
    const error = h('p', { class: 'who-error', role: 'alert', hidden: true })
    const submit = h('button', { type: 'submit', class: 'primary', disabled: this.counter === null }, 'That’s me')
    const form = h(
      'form',
      { novalidate: true },
      h('div', { class: 'field' }, h('label', { for: 'first-name' }, 'First name'), name),
      h('div', { class: 'field' }, h('label', { for: 'email' }, 'E-mail'), email),
      h(
        'label',
        { class: 'agree', for: 'marketing' },
        marketing,
        h('span', {}, h('b', {}, 'Yes, you may write to me.'), ' Without your yes, no mail is sent.'),
      ),
      submit,
      error,
    )
    form.addEventListener('submit', (event) => {
      event.preventDefault()
      const wrong = name.value.trim() === '' ? name : email.validity.valid && email.value.trim() !== '' ? null : email
      for (const input of [name, email]) input.toggleAttribute('aria-invalid', input === wrong)
      delete error.dataset['tone']
      if (wrong) {
        error.textContent =
          wrong === name
            ? 'What may we call you?'
            : 'That does not look like an e-mail address. Try one such as robin@example.com; nothing leaves this machine.'
        error.hidden = false
        wrong.focus()
        return
      }
      void this.introduce(
        { firstName: name.value.trim(), email: email.value.trim(), marketing: marketing.checked },
        submit,
        error,
      )
    })
    fill(this.card, h('h2', { id: 'who-title' }, 'First, who is shopping?'), form)
  }

  private async introduce(visitor: Visitor, submit: HTMLButtonElement, error: HTMLElement): Promise<void> {
    if (!this.counter) return
    submit.disabled = true
    try {
      await this.counter.introduce(visitor)
      this.visitor = visitor
      this.showName(visitor)
      const wanted = this.wanted
      this.wanted = null
      const button = this.buttons[PRODUCTS.findIndex((product) => product === wanted)]
      if (wanted && button) await this.buy(wanted, button)
    } catch {
      submit.disabled = false
      error.textContent = 'That could not be sent. Is the demo server still running?'
      error.hidden = false
    }
  }

  private showName(visitor: Visitor): void {
    const change = h('button', { type: 'button', class: 'quiet' }, 'Change')
    change.addEventListener('click', () => {
      this.showForm(this.visitor)
      this.card.querySelector('input')?.focus()
    })
    const over = h('button', { type: 'button', class: 'quiet' }, 'Start over')
    over.addEventListener('click', () => this.counter?.startOver())
    fill(
      this.card,
      h('h2', { id: 'who-title' }, `Hello, ${visitor.firstName || 'you'}.`),
      h(
        'div',
        { class: 'known' },
        h(
          'p',
          {},
          visitor.email,
          h(
            'span',
            { class: visitor.marketing ? 'yes' : 'no' },
            visitor.marketing ? 'Mail is welcome' : 'No mail, please',
          ),
        ),
        h('p', {}, change, over),
      ),
    )
  }
}
