//! What people do on the web and in the app: look, put in the cart, sign up or in, buy, subscribe, sign out. The events
//! are those of Segment's e-commerce specification. It draws what happens and leaves the writing to [`Session`].

use super::person::{Device, Memory, Person, Persona};
use super::session::{Said, Session, app_context, browser_context, external_id, write};
use super::slots;
use super::tables::{CAMPAIGNS, PRODUCTS, Product};

/// A line of a cart.
struct Line {
    at: usize,
    quantity: u64,
}

/// A visit on a device.
pub(super) struct Visit<'a, 'b> {
    /// The visitor.
    pub(super) person: &'a Person,
    /// What earlier visits changed; this one changes it further.
    pub(super) memory: &'a mut Memory,
    /// Where from.
    pub(super) device: Device,
    /// The number of the visit, which makes the numbers of its orders.
    pub(super) number: u64,
    /// The visit as the SDK sees it.
    pub(super) session: Session<'b>,
}

impl Visit<'_, '_> {
    /// Everything that happens in the visit.
    pub(super) fn run(mut self) {
        self.open();
        self.choose();
        let (_, buys, looks) = self.person.persona.habits();
        if self.shared() {
            self.sign_in(0.8, 0.6);
        } else {
            self.sign_in(0.3, 0.08);
        }
        let mut cart = Vec::new();
        let count = self.session.dice.between(1, looks + 1);
        for position in 0..count {
            self.look(position, &mut cart);
        }
        if !self.memory.has(Memory::NEWSLETTER) && self.device != Device::Tablet && self.session.dice.chance(0.07) {
            self.subscribe();
        }
        if !cart.is_empty() {
            self.cart(&cart);
            if self.session.dice.chance(buys + 0.2) {
                self.check_out(&cart, buys);
            }
        }
        if self.session.user_id.is_some() {
            self.link_card();
            self.sign_out();
        }
    }

    fn is_app(&self) -> bool {
        matches!(self.device, Device::Phone | Device::Tablet)
    }

    fn open(&mut self) {
        if self.is_app() {
            self.session.track(
                "Application Opened",
                "\"version\":\"4.2.1\",\"build\":\"412\",\"from_background\":false",
            );
        }
        self.show("Home", "/");
    }

    /// A page or a screen is seen.
    fn show(&mut self, name: &str, path: &str) {
        if self.is_app() {
            let properties = format!("\"name\":\"{name}\"");
            self.session.send(
                "screen",
                name,
                Said {
                    properties: &properties,
                    ..Said::default()
                },
            );
        } else {
            let title = format!("{name} – Kith Shop");
            let properties = format!(
                "\"name\":\"{name}\",\"path\":\"{path}\",\"referrer\":\"\",\"search\":\"\",\"title\":\"{title}\",\
                 \"url\":\"https://shop.example.com{path}\""
            );
            self.session.page = Some((path.to_owned(), title));
            self.session.send(
                "page",
                name,
                Said {
                    properties: &properties,
                    ..Said::default()
                },
            );
        }
        self.session.wait(2, 25);
    }

    /// The choice about marketing is made once; each SDK then sends it with every event.
    fn choose(&mut self) {
        let Some(consent) = self.person.consent else { return };
        if self.shared() {
            return;
        }
        self.session.consent = Some(consent);
        if !self.memory.has(Memory::CHOSE) {
            self.memory.set(Memory::CHOSE);
            self.session.track("Segment Consent Preference Updated", "");
        }
    }

    fn shared(&self) -> bool {
        self.session.shared
    }

    fn look(&mut self, position: u64, cart: &mut Vec<Line>) {
        let at = self.find();
        let product = &PRODUCTS[at];
        if position == 0 && self.session.dice.chance(0.5) {
            let list = format!("\"list_id\":\"{0}\",\"category\":\"{0}\"", product.category);
            self.session.track("Product List Viewed", &list);
            self.session.wait(5, 40);
        }
        if self.session.dice.chance(0.15) {
            let query = format!("\"query\":\"{}\"", product.slug);
            self.session.track("Products Searched", &query);
            self.session.wait(3, 20);
        }
        self.show("Product", &format!("/products/{}", product.slug));
        let seen = format!(
            "{},\"position\":{},\"currency\":\"{}\"",
            goods(at, product, 1),
            position + 1,
            self.currency()
        );
        self.session.track("Product Viewed", &seen);
        self.session.wait(8, 120);
        let wanted = match self.person.persona {
            Persona::WindowShopper | Persona::Passer => 0.12,
            Persona::BargainHunter => 0.3,
            Persona::Loyal | Persona::BigSpender => 0.4,
        };
        if self.session.dice.chance(wanted) && cart.iter().all(|line| line.at != at) {
            let quantity = self.session.dice.between(1, 5).div_ceil(3);
            let added = format!(
                "\"cart_id\":\"c-{}\",{},\"currency\":\"{}\"",
                self.number,
                goods(at, product, quantity),
                self.currency()
            );
            self.session.track("Product Added", &added);
            self.session.wait(3, 30);
            cart.push(Line { at, quantity });
        }
    }

    /// Bargain hunters take the cheaper of two, big spenders the dearer.
    fn find(&mut self) -> usize {
        let count = u64::try_from(PRODUCTS.len()).unwrap_or(1);
        let mut draw = || usize::try_from(self.session.dice.between(0, count)).unwrap_or_default();
        let (one, other) = (draw(), draw());
        let dearer = if PRODUCTS[one].cents >= PRODUCTS[other].cents {
            one
        } else {
            other
        };
        match self.person.persona {
            Persona::BigSpender => dearer,
            Persona::BargainHunter => one + other - dearer,
            _ => one,
        }
    }

    fn currency(&self) -> &'static str {
        self.person.country.currency
    }

    fn subscribe(&mut self) {
        self.memory.set(Memory::NEWSLETTER);
        let email = self.person.email(false);
        let traits = format!("\"email\":\"{email}\",\"newsletter\":true");
        self.session.send(
            "identify",
            "",
            Said {
                traits: &traits,
                slots: slots::EMAIL,
                ..Said::default()
            },
        );
        self.session.track("Newsletter Subscribed", "\"list\":\"weekly\"");
        self.session.wait(2, 15);
    }

    fn cart(&mut self, cart: &[Line]) {
        self.show("Cart", "/cart");
        let seen = format!("\"cart_id\":\"c-{}\",\"products\":[{}]", self.number, lines(cart));
        self.session.track("Cart Viewed", &seen);
        self.session.wait(4, 60);
    }

    fn check_out(&mut self, cart: &[Line], buys: f64) {
        let order = Order::of(
            self.number,
            cart,
            self.currency(),
            self.person.persona == Persona::BargainHunter,
        );
        self.session.track("Checkout Started", &order.json);
        self.session.wait(10, 90);
        self.sign_in(0.85, 0.6);
        if self.session.user_id.is_none() && !self.shared() {
            self.name_guest();
        }
        if !self.session.dice.chance(buys + 0.25) {
            return;
        }
        let payment = format!(
            "\"checkout_id\":\"k-{}\",\"step\":2,\"payment_method\":\"card\"",
            self.number
        );
        self.session.track("Payment Info Entered", &payment);
        self.session.wait(8, 60);
        self.session.track("Order Completed", &order.json);
        self.session.wait(2, 20);
        self.show("Thank you", "/thank-you");
    }

    /// A guest says where to send the order.
    fn name_guest(&mut self) {
        let traits = self.traits(false);
        let phone = if self.person.tells_phone { slots::PHONE } else { 0 };
        self.session.send(
            "identify",
            "",
            Said {
                traits: &traits,
                slots: slots::EMAIL | phone,
                ..Said::default()
            },
        );
        self.session.wait(5, 30);
    }

    fn traits(&mut self, account: bool) -> String {
        let (shouted, spaced) = (self.session.dice.chance(0.06), self.session.dice.chance(0.2));
        let person = self.person;
        let mut traits = format!(
            "\"email\":\"{}\",\"first_name\":\"{}\",\"last_name\":\"{}\",\"country\":\"{}\",\"city\":\"{}\"",
            person.email(shouted),
            person.first_name,
            person.last_name,
            person.country.code,
            person.country.city
        );
        if person.tells_phone {
            write(&mut traits, format_args!(",\"phone\":\"{}\"", person.phone(spaced)));
        }
        if account {
            write(&mut traits, format_args!(",\"language\":\"{}\"", person.country.locale));
        }
        traits
    }

    /// Signs in, or up where there is no account yet, with these chances.
    fn sign_in(&mut self, returning: f64, new: f64) {
        if self.session.user_id.is_some() || !self.person.wants_account {
            return;
        }
        let known = self.memory.has(Memory::ACCOUNT);
        if !self.session.dice.chance(if known { returning } else { new }) {
            return;
        }
        self.session.user_id = Some(self.person.user_id());
        let traits = self.traits(true);
        let phone = if self.person.tells_phone { slots::PHONE } else { 0 };
        if self.shared() {
            self.session.consent = self.person.consent;
        } else {
            self.memory.set(Memory::signed_in(self.device));
        }
        self.session.send(
            "identify",
            "",
            Said {
                traits: &traits,
                slots: slots::EMAIL | phone,
                ..Said::default()
            },
        );
        self.memory.set(Memory::ACCOUNT);
        let properties = if known {
            "\"method\":\"password\""
        } else {
            "\"method\":\"password\",\"plan\":\"free\""
        };
        self.session
            .track(if known { "Signed In" } else { "Signed Up" }, properties);
        self.session.wait(2, 15);
    }

    /// The card of the shops is told to the account.
    fn link_card(&mut self) {
        if self.memory.has(Memory::CARD) && !self.memory.has(Memory::CARD_LINKED) && self.session.dice.chance(0.5) {
            self.memory.set(Memory::CARD_LINKED);
            let card = external_id("loyalty_id", &self.person.card());
            let said = Said {
                external_ids: &card,
                slots: slots::CARD,
                ..Said::default()
            };
            self.session.send("track", "Loyalty Card Linked", said);
        }
    }

    /// On the tablet always, without a new installation; in the browser once, with a new cookie.
    fn sign_out(&mut self) {
        let renews =
            self.device == Device::Browser && !self.memory.has(Memory::NEW_COOKIE) && self.session.dice.chance(0.12);
        if self.shared() || renews {
            self.session.track("Signed Out", "");
            self.memory.clear(Memory::signed_in(self.device));
        }
        if renews {
            self.memory.set(Memory::NEW_COOKIE);
        } else if self.shared() && self.session.dice.chance(0.4) {
            self.session.user_id = None;
            self.session.consent = None;
            self.session.wait(5, 60);
            self.look(0, &mut Vec::new());
        }
    }
}

/// What a session of a person on a device starts with: source, context, device id, slot.
pub(super) fn device_of(
    person: &Person,
    device: Device,
    memory: Memory,
    dice: &mut super::dice::Dice,
) -> (&'static str, String, String, u16) {
    match device {
        Device::Browser => {
            let renewed = memory.has(Memory::NEW_COOKIE);
            let slot = if renewed { slots::SECOND_COOKIE } else { slots::COOKIE };
            (
                "web",
                browser_context(person, device, dice),
                person.anonymous_id(device, u64::from(renewed)),
                slot,
            )
        }
        Device::SecondBrowser => (
            "web",
            browser_context(person, device, dice),
            person.anonymous_id(device, 0),
            slots::SECOND_BROWSER,
        ),
        Device::Phone => (
            "app",
            app_context(person, device),
            person.anonymous_id(device, 0),
            slots::PHONE_APP,
        ),
        Device::Tablet => ("app", app_context(person, device), person.anonymous_id(device, 0), 0),
    }
}

/// An order and its properties.
pub(super) struct Order {
    /// The fields, without braces.
    pub(super) json: String,
}

impl Order {
    fn of(number: u64, cart: &[Line], currency: &str, coupon: bool) -> Self {
        let goods: u64 = cart.iter().map(|line| PRODUCTS[line.at].cents * line.quantity).sum();
        let discount = if coupon { goods / 10 } else { 0 };
        let shipping = if goods >= 5_000 { 0 } else { 490 };
        let revenue = goods - discount;
        let tax = revenue * 19 / 119;
        let mut json = format!(
            "\"checkout_id\":\"k-{number}\",\"order_id\":\"o-{number:09}\",\"total\":{},\"revenue\":{},\"tax\":{},\"shipping\":{},\
             \"discount\":{},\"currency\":\"{currency}\",\"products\":[{}]",
            money(revenue + shipping),
            money(revenue),
            money(tax),
            money(shipping),
            money(discount),
            lines(cart)
        );
        if coupon {
            let (name, _, _) = CAMPAIGNS[0];
            write(&mut json, format_args!(",\"coupon\":\"{name}\""));
        }
        Self { json }
    }

    /// An order of one thing, taken along in a shop.
    pub(super) fn in_store(number: u64, at: usize, currency: &str) -> Self {
        Self::of(
            number,
            &[Line {
                at: at % PRODUCTS.len(),
                quantity: 1,
            }],
            currency,
            false,
        )
    }
}

fn lines(cart: &[Line]) -> String {
    let mut out = String::with_capacity(cart.len() * 180);
    for line in cart {
        let comma = if out.is_empty() { "" } else { "," };
        write(
            &mut out,
            format_args!("{comma}{{{}}}", goods(line.at, &PRODUCTS[line.at], line.quantity)),
        );
    }
    out
}

fn goods(at: usize, product: &Product, quantity: u64) -> String {
    format!(
        "\"product_id\":\"p-{at:02}\",\"sku\":\"KS-{:04}\",\"name\":\"{}\",\"category\":\"{}\",\"brand\":\"Kith\",\"price\":{},\
         \"quantity\":{quantity},\"url\":\"https://shop.example.com/products/{}\"",
        1_000 + at,
        product.name,
        product.category,
        money(product.cents),
        product.slug
    )
}

fn money(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}
