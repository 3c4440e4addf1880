// Sends the visitor's events by the stock browser SDK. The choice about marketing goes with every event from the moment
// it is made, and never before.
import { AnalyticsBrowser } from '@segment/analytics-next'
import { CURRENCY, type Product } from './catalogue'
import type { Config } from './types'

/** Who the visitor says they are. */
export interface Visitor {
  firstName: string
  email: string
  marketing: boolean
}

const REMEMBERED = 'kith-shop-visitor'
const LOADS_WITHIN_MS = 10_000

export class Tracking {
  private constructor(
    private readonly analytics: AnalyticsBrowser,
    readonly anonymousId: string,
    private visitor: Visitor | null,
  ) {}

  /** Loads the SDK, and tells it of the page. Rejects when the server gives it no settings. */
  static async start(config: Config): Promise<Tracking> {
    const analytics = new AnalyticsBrowser()
    const destination = { apiHost: config.apiHost, protocol: config.protocol }
    analytics.load(
      { writeKey: config.writeKey, cdnURL: config.cdnURL },
      { integrations: { 'Segment.io': destination } },
    )
    const [ready] = await Promise.race([analytics, tooLate()])
    const anonymousId = ready.user().anonymousId() ?? ''
    const tracking = new Tracking(analytics, anonymousId, remembered())
    await analytics.addSourceMiddleware(({ payload, next }) => {
      const marketing = tracking.visitor?.marketing
      if (marketing !== undefined) {
        payload.obj.context = { ...payload.obj.context, consent: { categoryPreferences: { marketing } } }
      }
      next(payload)
    })
    void analytics.page('Shop')
    return tracking
  }

  /** Who the visitor said they are, also on an earlier visit. */
  get known(): Visitor | null {
    return this.visitor
  }

  /** Takes down who the visitor is and what they agreed to. */
  async introduce(visitor: Visitor): Promise<void> {
    const chosen = this.visitor?.marketing
    this.visitor = visitor
    localStorage.setItem(REMEMBERED, JSON.stringify(visitor))
    await this.analytics.identify({ email: visitor.email, first_name: visitor.firstName })
    if (chosen !== visitor.marketing) await this.analytics.track('Segment Consent Preference Updated')
  }

  /** A purchase, as the e-commerce specification tells it; gives the message id of the order. */
  async buy(product: Product): Promise<string> {
    const goods = {
      product_id: product.id,
      sku: product.sku,
      name: product.name,
      category: product.category,
      brand: 'Kith',
      price: product.price,
      quantity: 1,
    }
    const cart = { cart_id: `c-${crypto.randomUUID()}`, currency: CURRENCY }
    await this.analytics.track('Product Viewed', { ...goods, currency: CURRENCY })
    await this.analytics.track('Product Added', { ...goods, ...cart })
    const order = await this.analytics.track('Order Completed', {
      order_id: `o-${crypto.randomUUID()}`,
      total: product.price,
      revenue: product.price,
      shipping: 0,
      currency: CURRENCY,
      products: [goods],
    })
    return order.event.messageId ?? ''
  }

  /** Forgets the visitor in this browser. */
  async forget(): Promise<void> {
    localStorage.removeItem(REMEMBERED)
    await this.analytics.reset()
  }
}

function tooLate(): Promise<never> {
  return new Promise((_, reject) => {
    setTimeout(() => reject(new Error('The settings of the SDK did not come.')), LOADS_WITHIN_MS)
  })
}

function remembered(): Visitor | null {
  try {
    const visitor: unknown = JSON.parse(localStorage.getItem(REMEMBERED) ?? 'null')
    if (typeof visitor !== 'object' || visitor === null) return null
    const { firstName, email, marketing } = visitor as Partial<Visitor>
    return email ? { firstName: firstName ?? '', email, marketing: marketing === true } : null
  } catch {
    return null
  }
}
