//! What the world is furnished with: goods, places, names, campaigns, browsers. Tables only; every text is plain enough
//! to stand in JSON as it is. Nothing here draws or writes.

/// A thing on sale.
pub(super) struct Product {
    /// Its name.
    pub(super) name: &'static str,
    /// Its shelf.
    pub(super) category: &'static str,
    /// The last part of its address.
    pub(super) slug: &'static str,
    /// Its price in hundredths.
    pub(super) cents: u64,
}

const fn product(name: &'static str, category: &'static str, slug: &'static str, cents: u64) -> Product {
    Product {
        name,
        category,
        slug,
        cents,
    }
}

/// The goods; the first six are those of the demo's shop page.
pub(super) static PRODUCTS: [Product; 24] = [
    product("Dawn Lamp", "Lighting", "dawn-lamp", 8_900),
    product("Tide Mug", "Kitchen", "tide-mug", 1_850),
    product("Fern Planter", "Garden", "fern-planter", 3_400),
    product("Nest Throw", "Textiles", "nest-throw", 6_400),
    product("Orbit Clock", "Living", "orbit-clock", 4_900),
    product("Grain Board", "Kitchen", "grain-board", 2_900),
    product("Harbour Chair", "Furniture", "harbour-chair", 24_900),
    product("Slate Desk", "Furniture", "slate-desk", 41_900),
    product("Willow Basket", "Living", "willow-basket", 2_250),
    product("Ember Candle", "Living", "ember-candle", 1_490),
    product("Linen Cushion", "Textiles", "linen-cushion", 2_790),
    product("Quarry Vase", "Living", "quarry-vase", 3_950),
    product("Copper Kettle", "Kitchen", "copper-kettle", 7_450),
    product("Meadow Rug", "Textiles", "meadow-rug", 18_900),
    product("Birch Stool", "Furniture", "birch-stool", 9_900),
    product("Pebble Speaker", "Living", "pebble-speaker", 12_900),
    product("Cloud Duvet", "Textiles", "cloud-duvet", 15_900),
    product("Rain Watering Can", "Garden", "rain-watering-can", 2_490),
    product("Moss Gloves", "Garden", "moss-gloves", 990),
    product("Lantern String", "Lighting", "lantern-string", 3_290),
    product("Arc Floor Lamp", "Lighting", "arc-floor-lamp", 19_900),
    product("Stone Mortar", "Kitchen", "stone-mortar", 3_190),
    product("Oak Shelf", "Furniture", "oak-shelf", 13_900),
    product("Velvet Armchair", "Furniture", "velvet-armchair", 54_900),
];

/// Where people live, and what follows from it.
pub(super) struct Country {
    /// ISO 3166 code.
    pub(super) code: &'static str,
    /// Language and country of the browser.
    pub(super) locale: &'static str,
    /// Time zone of the device.
    pub(super) timezone: &'static str,
    /// ISO 4217 code.
    pub(super) currency: &'static str,
    /// The country's calling code and the leading digits of its mobile numbers.
    pub(super) calling: (&'static str, &'static str),
    /// A town.
    pub(super) city: &'static str,
}

/// The countries; the first ones come up more often, being drawn by the square of a uniform number.
pub(super) static COUNTRIES: [Country; 8] = [
    Country {
        code: "DE",
        locale: "de-DE",
        timezone: "Europe/Berlin",
        currency: "EUR",
        calling: ("49", "17"),
        city: "Hamburg",
    },
    Country {
        code: "NL",
        locale: "nl-NL",
        timezone: "Europe/Amsterdam",
        currency: "EUR",
        calling: ("31", "6"),
        city: "Utrecht",
    },
    Country {
        code: "FR",
        locale: "fr-FR",
        timezone: "Europe/Paris",
        currency: "EUR",
        calling: ("33", "6"),
        city: "Lyon",
    },
    Country {
        code: "GB",
        locale: "en-GB",
        timezone: "Europe/London",
        currency: "GBP",
        calling: ("44", "77"),
        city: "Leeds",
    },
    Country {
        code: "AT",
        locale: "de-AT",
        timezone: "Europe/Vienna",
        currency: "EUR",
        calling: ("43", "66"),
        city: "Graz",
    },
    Country {
        code: "US",
        locale: "en-US",
        timezone: "America/New_York",
        currency: "USD",
        calling: ("1", "20"),
        city: "Boston",
    },
    Country {
        code: "ES",
        locale: "es-ES",
        timezone: "Europe/Madrid",
        currency: "EUR",
        calling: ("34", "6"),
        city: "Valencia",
    },
    Country {
        code: "SE",
        locale: "sv-SE",
        timezone: "Europe/Stockholm",
        currency: "SEK",
        calling: ("46", "70"),
        city: "Malmö",
    },
];

/// Given names.
pub(super) static FIRST_NAMES: [&str; 32] = [
    "Anna", "Jürgen", "Sofia", "Luca", "Emma", "Noah", "Zoë", "Liam", "Mia", "Oskar", "Clara", "Hugo", "Ines", "Jonas",
    "Lea", "Mateo", "Nora", "Olivia", "Paul", "Rosa", "Samir", "Tessa", "Umut", "Vera", "Willem", "Yara", "Aïsha",
    "Björn", "Chloé", "Daan", "Elif", "Felix",
];

/// Family names.
pub(super) static LAST_NAMES: [&str; 32] = [
    "Meyer",
    "Schmidt",
    "de Vries",
    "Bakker",
    "Dubois",
    "Moreau",
    "Smith",
    "Jones",
    "Taylor",
    "Brown",
    "García",
    "López",
    "Svensson",
    "Nilsson",
    "Gruber",
    "Huber",
    "Müller",
    "Weber",
    "Fischer",
    "Jansen",
    "Visser",
    "Bernard",
    "Petit",
    "Wilson",
    "Evans",
    "Walker",
    "Martín",
    "Pérez",
    "Berg",
    "Lindqvist",
    "Bauer",
    "Wagner",
];

/// Campaigns: name, source, medium.
pub(super) static CAMPAIGNS: [(&str, &str, &str); 6] = [
    ("autumn-sale", "google", "cpc"),
    ("autumn-sale", "newsletter", "email"),
    ("new-lighting", "instagram", "social"),
    ("home-office", "google", "cpc"),
    ("gift-guide", "partner-blog", "referral"),
    ("win-back", "newsletter", "email"),
];

/// Browsers of desktop machines.
pub(super) static BROWSERS: [&str; 4] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1",
];

/// Phones: manufacturer, model, system, its version.
pub(super) static PHONES: [(&str, &str, &str, &str); 4] = [
    ("Apple", "iPhone17,1", "iOS", "26.1"),
    ("Apple", "iPhone15,4", "iOS", "18.7"),
    ("Google", "Pixel 9", "Android", "16"),
    ("samsung", "SM-S928B", "Android", "15"),
];

/// What bots say they are.
pub(super) static BOT_AGENTS: [&str; 3] = [
    "Mozilla/5.0 (compatible; PriceScout/2.4; +https://bots.example.net/pricescout)",
    "python-requests/2.32.5",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/141.0.0.0 Safari/537.36",
];

/// Why people call.
pub(super) static CALL_REASONS: [&str; 5] = ["delivery", "return", "advice", "complaint", "invoice"];

/// The shops.
pub(super) static STORES: [&str; 5] = [
    "hamburg-altona",
    "utrecht-centrum",
    "lyon-presquile",
    "leeds-briggate",
    "boston-back-bay",
];

/// A name in the letters that an e-mail address takes.
pub(super) fn ascii(name: &str, out: &mut String) {
    for letter in name.chars() {
        match letter {
            'ä' => out.push_str("ae"),
            'ö' => out.push_str("oe"),
            'ü' => out.push_str("ue"),
            'á' | 'à' => out.push('a'),
            'é' | 'è' | 'ë' => out.push('e'),
            'í' | 'ï' => out.push('i'),
            'ó' => out.push('o'),
            ' ' => {}
            other => out.push(other.to_ascii_lowercase()),
        }
    }
}
