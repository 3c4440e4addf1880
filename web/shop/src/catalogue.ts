// The six things on sale, with their drawings. The same goods, ids and prices are in the demo's world.

export interface Product {
  id: string
  sku: string
  slug: string
  name: string
  category: string
  line: string
  price: number
  art: string
}

const lamp = `<svg viewBox="0 0 200 200" aria-hidden="true">
  <circle cx="100" cy="86" r="74" fill="var(--glow)"/><circle cx="100" cy="86" r="52" fill="var(--glow)"/>
  <path d="M52 98a48 48 0 0 1 96 0z" fill="#e2683c"/><path d="M52 98a48 48 0 0 1 20-39c-6 12-8 25-8 39z" fill="#f08a5d"/>
  <rect x="46" y="96" width="108" height="7" rx="3.5" fill="#b94a24"/>
  <path d="M84 103h32a16 16 0 0 1-32 0z" fill="#ffd98a"/>
  <rect x="96.5" y="116" width="7" height="46" fill="var(--stand)"/><rect x="68" y="160" width="64" height="9" rx="4.5" fill="var(--stand)"/>
</svg>`

const mug = `<svg viewBox="0 0 200 200" aria-hidden="true">
  <ellipse cx="98" cy="165" rx="58" ry="7" fill="#12414f" opacity=".14"/>
  <path d="M136 84h14a22 22 0 0 1 0 44h-16" fill="none" stroke="#f7fbfc" stroke-width="12"/>
  <path d="M52 66h88v74a24 24 0 0 1-24 24H76a24 24 0 0 1-24-24z" fill="#f7fbfc"/>
  <path d="M52 112c11-9 22-9 33 0s22 9 33 0c8-6 15-8 22-5v33a24 24 0 0 1-24 24H76a24 24 0 0 1-24-24z" fill="#2b7f97"/>
  <path d="M52 132c11-8 22-8 33 0s22 8 33 0c8-6 15-7 22-4v12a24 24 0 0 1-24 24H76a24 24 0 0 1-24-24z" fill="#1c5d72"/>
  <ellipse cx="96" cy="66" rx="44" ry="8" fill="#5b3a29"/><path d="M52 66a44 8 0 0 0 88 0" fill="none" stroke="#dfeaed" stroke-width="3"/>
  <path d="M82 48c-6-8 6-12 0-20M104 50c-6-8 6-12 0-20" fill="none" stroke="#fff" stroke-width="4" stroke-linecap="round" opacity=".85"/>
</svg>`

const planter = `<svg viewBox="0 0 200 200" aria-hidden="true">
  <ellipse cx="100" cy="170" rx="46" ry="6" fill="#173b26" opacity=".15"/>
  <g fill="none" stroke="#2c6e49" stroke-width="4" stroke-linecap="round">
    <path d="M100 116C98 84 100 60 104 34"/><path d="M98 116C88 88 72 70 50 60"/><path d="M102 116c8-30 26-46 50-56"/>
    <path d="M98 116c-12-16-30-22-52-20"/><path d="M102 116c14-16 32-20 54-18"/>
  </g>
  <g fill="#3c9163">
    <ellipse cx="95" cy="46" rx="12" ry="5" transform="rotate(38 95 46)"/><ellipse cx="112" cy="50" rx="12" ry="5" transform="rotate(-32 112 50)"/>
    <ellipse cx="91" cy="66" rx="13" ry="5" transform="rotate(32 91 66)"/><ellipse cx="111" cy="72" rx="13" ry="5" transform="rotate(-28 111 72)"/>
    <ellipse cx="60" cy="56" rx="12" ry="5" transform="rotate(64 60 56)"/><ellipse cx="66" cy="80" rx="12" ry="5" transform="rotate(-8 66 80)"/>
    <ellipse cx="141" cy="54" rx="12" ry="5" transform="rotate(-68 141 54)"/><ellipse cx="136" cy="78" rx="12" ry="5" transform="rotate(6 136 78)"/>
  </g>
  <g fill="#57b37f"><ellipse cx="58" cy="104" rx="12" ry="5" transform="rotate(-24 58 104)"/><ellipse cx="144" cy="106" rx="12" ry="5" transform="rotate(24 144 106)"/>
    <ellipse cx="104" cy="32" rx="5" ry="9"/><ellipse cx="48" cy="60" rx="8" ry="5" transform="rotate(20 48 60)"/><ellipse cx="153" cy="59" rx="8" ry="5" transform="rotate(-20 153 59)"/></g>
  <path d="M64 112h72l-9 50a10 10 0 0 1-10 8H83a10 10 0 0 1-10-8z" fill="#c9744d"/><path d="M64 112h72l-2.500 14H66.500z" fill="#a85a37"/>
  <rect x="58" y="106" width="84" height="14" rx="5" fill="#dc8a63"/>
</svg>`

const throwBlanket = `<svg viewBox="0 0 200 200" aria-hidden="true">
  <ellipse cx="100" cy="166" rx="70" ry="6" fill="#3b2447" opacity=".14"/>
  <g><rect x="38" y="126" width="124" height="34" rx="15" fill="#6d4c86"/><rect x="38" y="98" width="124" height="34" rx="15" fill="#8562a1"/>
  <rect x="38" y="70" width="124" height="34" rx="15" fill="#a27fbe"/></g>
  <path d="M92 70h46v62c0 8-3 14-8 14h-30c-5 0-8-6-8-14z" fill="#f6eefa"/><path d="M92 84h46M92 98h46M92 112h46M92 126h46" stroke="#c8a9dc" stroke-width="4"/>
  <g stroke="#f6eefa" stroke-width="4" stroke-linecap="round"><path d="M97 148v10M106 149v11M115 149v10M124 149v11M133 148v10"/></g>
  <path d="M54 70c-8 2-16 7-16 15" fill="none" stroke="#bfa0d6" stroke-width="3" stroke-linecap="round"/>
</svg>`

const clock = `<svg viewBox="0 0 200 200" aria-hidden="true">
  <circle cx="100" cy="103" r="66" fill="#5c4a12" opacity=".12"/><circle cx="100" cy="98" r="66" fill="#fffdf4"/><circle cx="100" cy="98" r="66" fill="none" stroke="#20304d" stroke-width="7"/>
  <circle cx="100" cy="98" r="44" fill="none" stroke="#d8cfae" stroke-width="2" stroke-dasharray="2 7" stroke-linecap="round"/>
  <g fill="#20304d"><circle cx="100" cy="44" r="3.5"/><circle cx="154" cy="98" r="3.5"/><circle cx="100" cy="152" r="3.5"/><circle cx="46" cy="98" r="3.5"/></g>
  <path d="M100 98 78 76" stroke="#20304d" stroke-width="7" stroke-linecap="round"/><path d="M100 98 131 67" stroke="#20304d" stroke-width="4.5" stroke-linecap="round"/>
  <circle cx="131" cy="67" r="8" fill="#e0913a"/><circle cx="78" cy="76" r="5.5" fill="#3d7bd9"/><circle cx="100" cy="98" r="6" fill="#20304d"/>
</svg>`

const board = `<svg viewBox="0 0 200 200" aria-hidden="true">
  <g transform="rotate(24 100 100)">
    <rect x="62" y="60" width="80" height="112" rx="16" fill="#5a3218" opacity=".15" transform="translate(5 6)"/>
    <path d="M62 76a16 16 0 0 1 16-16h11V36a13 13 0 0 1 26 0v24h11a16 16 0 0 1 16 16v80a16 16 0 0 1-16 16H78a16 16 0 0 1-16-16z" fill="#b9794a"/>
    <circle cx="102" cy="38" r="5" fill="#f3dfcf"/>
    <g fill="none" stroke="#96592f" stroke-width="3" stroke-linecap="round" opacity=".75">
      <path d="M76 78c5 30-4 52 2 80"/><path d="M90 72c-3 22 10 30 8 50s-10 24-6 38"/><path d="M114 72c5 16-5 28-2 46s9 26 4 42"/><path d="M128 80c-4 24 4 44-1 76"/>
      <ellipse cx="104" cy="112" rx="5" ry="9"/>
    </g>
  </g>
</svg>`

export const PRODUCTS: readonly Product[] = [
  {
    id: 'p-00',
    sku: 'KS-1000',
    slug: 'dawn-lamp',
    name: 'Dawn Lamp',
    category: 'Lighting',
    line: 'Gets brighter as slowly as you do.',
    price: 89,
    art: lamp,
  },
  {
    id: 'p-01',
    sku: 'KS-1001',
    slug: 'tide-mug',
    name: 'Tide Mug',
    category: 'Kitchen',
    line: 'High water in the morning, low by noon.',
    price: 18.5,
    art: mug,
  },
  {
    id: 'p-02',
    sku: 'KS-1002',
    slug: 'fern-planter',
    name: 'Fern Planter',
    category: 'Garden',
    line: 'Fern included. Patience is not.',
    price: 34,
    art: planter,
  },
  {
    id: 'p-03',
    sku: 'KS-1003',
    slug: 'nest-throw',
    name: 'Nest Throw',
    category: 'Textiles',
    line: 'Big enough to share, if you must.',
    price: 64,
    art: throwBlanket,
  },
  {
    id: 'p-04',
    sku: 'KS-1004',
    slug: 'orbit-clock',
    name: 'Orbit Clock',
    category: 'Living',
    line: 'Two small planets that are never late.',
    price: 49,
    art: clock,
  },
  {
    id: 'p-05',
    sku: 'KS-1005',
    slug: 'grain-board',
    name: 'Grain Board',
    category: 'Kitchen',
    line: 'Walnut with forty years of practice.',
    price: 29,
    art: board,
  },
]

/** The currency of the shop. */
export const CURRENCY = 'EUR'

const euros = new Intl.NumberFormat('en-IE', { style: 'currency', currency: CURRENCY })

/** A price as the visitor reads it. */
export function priced(amount: number): string {
  return euros.format(amount)
}
