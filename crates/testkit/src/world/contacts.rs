//! What reaches the shop's systems without a browser or an app of a person's: purchases in a shop, calls, and bots. It
//! draws what happens and leaves the writing to [`Session`].

use super::dice::Dice;
use super::person::{Memory, Person};
use super::session::{Said, Session, external_id};
use super::slots;
use super::tables::{BOT_AGENTS, CALL_REASONS, PRODUCTS, STORES};
use super::visits::Order;

/// A purchase in a shop, by card or telephone number. Who wants the card gets it at the first one.
pub(super) fn in_store(session: &mut Session<'_>, person: &Person, memory: &mut Memory, number: u64) {
    let phone = external_id("phone", &person.phone(false));
    let card = external_id("loyalty_id", &person.card());
    if person.wants_card && person.tells_phone && !memory.has(Memory::CARD) {
        let both = format!("{card},{phone}");
        let traits = format!(
            "\"first_name\":\"{}\",\"country\":\"{}\"",
            person.first_name, person.country.code
        );
        let said = Said {
            traits: &traits,
            external_ids: &both,
            slots: slots::CARD | slots::PHONE,
            ..Said::default()
        };
        session.send("identify", "", said);
        session.wait(20, 60);
        memory.set(Memory::CARD);
    }
    let carries = memory.has(Memory::CARD);
    let (external_ids, named) = if carries {
        (&card, slots::CARD)
    } else {
        (&phone, slots::PHONE)
    };
    let at = usize::try_from(session.dice.bits() % 1_024).unwrap_or_default();
    let order = Order::in_store(number, at, person.country.currency);
    let properties = format!(
        "{},\"channel\":\"store\",\"store\":\"{}\"",
        order.json,
        session.dice.pick(&STORES)
    );
    session.send(
        "track",
        "Order Completed",
        Said {
            properties: &properties,
            external_ids,
            slots: named,
            ..Said::default()
        },
    );
}

/// A call, by telephone number; the agent opens the account in some.
pub(super) fn call(session: &mut Session<'_>, person: &Person, memory: Memory) {
    if memory.has(Memory::ACCOUNT) && session.dice.chance(0.4) {
        session.user_id = Some(person.user_id());
    }
    let seconds = session.dice.between(40, 900);
    let mut contact = String::with_capacity(36);
    session.dice.uuid(&mut contact);
    let properties = format!(
        "\"contact_id\":\"{contact}\",\"channel\":\"voice\",\"queue\":\"service\",\"agent\":\"agent-{:02}\",\"reason\":\"{}\",\
         \"duration_seconds\":{seconds},\"resolved\":{}",
        session.dice.between(1, 40),
        session.dice.pick(&CALL_REASONS),
        session.dice.chance(0.8)
    );
    let phone = external_id("phone", &person.phone(false));
    session.wait(40, 900);
    let said = Said {
        properties: &properties,
        external_ids: &phone,
        slots: slots::PHONE,
        ..Said::default()
    };
    session.send("track", "Call Ended", said);
}

/// A bot's sweep over the goods: it never signs in, and every now and then it invents an event name.
pub(super) fn sweep(session: &mut Session<'_>) {
    let count = session.dice.between(3, 20);
    for _ in 0..count {
        let at = usize::try_from(session.dice.between(0, 1_024)).unwrap_or_default() % PRODUCTS.len();
        let path = format!("/products/{}", PRODUCTS[at].slug);
        session.page = Some((path, PRODUCTS[at].name.to_owned()));
        if session.dice.chance(0.2) {
            let name = format!("x_{:06x}", session.dice.bits() & 0xff_ffff);
            let properties = format!("\"payload\":\"{:016x}\"", session.dice.bits());
            session.track(&name, &properties);
        } else {
            let properties = format!("\"product_id\":\"p-{at:02}\"");
            session.track("Product Viewed", &properties);
        }
        session.wait(1, 4);
    }
}

/// The context of a bot.
pub(super) fn bot_context(dice: &mut Dice) -> String {
    let agent = dice.pick(&BOT_AGENTS);
    format!(
        "\"library\":{{\"name\":\"analytics.js\",\"version\":\"npm:next-1.84.3\"}},\"userAgent\":\"{agent}\",\"locale\":\"en-US\",\
         \"timezone\":\"UTC\""
    )
}
