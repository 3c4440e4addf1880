//! Templates under limits (contract ACT-5).

use super::{Escaping, OUTPUT_BYTES_MAX, RenderError, TEMPLATE_BYTES_MAX, Template, variables};
use serde_json::json;

fn given() -> liquid::Object {
    let given = json!({
        "profile": {
            "id": "prf_1",
            "traits": {
                "first_name": "Jo", "evil": "<b a=\"x\" c='y'>&", "none": null, "items": ["<1>", "2"], "age": 41, "share": 0.5,
                "long": "x".repeat(60_000), "empty": "",
            },
            "computed": {}, "segments": ["vip"],
        },
        "segment": { "name": "vip" }, "message": { "name": "welcome" }, "unsubscribe_url": "https://k/u/a?b=1&c=2",
    });
    variables(given.as_object().unwrap())
}

fn render(source: &str, escaping: Escaping) -> Result<String, RenderError> {
    let template = Template::compile(source, escaping).unwrap_or_else(|problems| panic!("{source}: {problems:?}"));
    template.render(&given())
}

fn html(source: &str) -> String {
    render(source, Escaping::Html).unwrap_or_else(|error| panic!("{source}: {error:?}"))
}

#[test]
fn act_5_html_is_escaped_by_default() {
    let escaped = "&lt;b a=&quot;x&quot; c=&#39;y&#39;&gt;&amp;";
    for (source, expected) in [
        ("{{ profile.traits.evil }}", escaped),
        ("{{profile.traits.evil}}", escaped),
        ("a  {{- profile.traits.evil -}}  b", &format!("a{escaped}b")),
        ("{{ profile['traits'].evil }}", escaped),
        (
            "{{ profile.traits[\"evil\"] | append: '<' }}",
            &format!("{escaped}&lt;"),
        ),
        ("{{ profile.traits.none | default: profile.traits.evil }}", escaped),
        ("{% assign x = profile.traits.evil %}{{ x }}", escaped),
        ("{% for i in profile.traits.items %}{{ i }}{% endfor %}", "&lt;1&gt;2"),
        ("{{ profile.traits.items }}", "&lt;1&gt;2"),
        (
            "{% if profile.traits.evil %}{{ profile.traits.evil }}{% endif %}",
            escaped,
        ),
        ("{{ '<' }}{{ \"|\" }}", "&lt;|"),
        ("{{ profile.traits.evil | escape }}", escaped),
        ("{{ profile.traits.evil | url_encode | url_decode }}", escaped),
        ("{{ profile.traits.evil | raw }}", "<b a=\"x\" c='y'>&"),
        ("{{ profile.traits.evil | upcase | raw }}", "<B A=\"X\" C='Y'>&"),
        (
            "<p>{{ profile.traits.age }} {{ profile.traits.share }}</p>",
            "<p>41 0.5</p>",
        ),
        (
            "<a href=\"{{ unsubscribe_url }}\">",
            "<a href=\"https://k/u/a?b=1&amp;c=2\">",
        ),
        ("{% comment %}{{ profile.traits.evil }}{% endcomment %}", ""),
    ] {
        assert_eq!(html(source), expected, "{source}");
    }
    assert_eq!(
        render("{{ profile.traits.evil }}", Escaping::Plain).unwrap(),
        "<b a=\"x\" c='y'>&"
    );
}

#[test]
fn act_5_a_missing_variable_without_default_is_told() {
    for (source, name) in [
        ("{{ profile.traits.plan }}", "profile.traits.plan"),
        ("{{ profile.traits.none }}", "profile.traits.none"),
        ("{{ profile.traits.plan | upcase }}", "profile.traits.plan"),
        (
            "{{ profile.traits.first_name | append: profile.traits.plan }}",
            "profile.traits.plan",
        ),
        (
            "{% if profile.traits.plan == 'pro' %}x{% endif %}",
            "profile.traits.plan",
        ),
        (
            "{% for i in profile.traits.orders %}x{% endfor %}",
            "profile.traits.orders",
        ),
        ("{{ profile.computed.total }}", "profile.computed.total"),
    ] {
        let missing = RenderError::MissingVariable(name.to_owned());
        assert_eq!(render(source, Escaping::Html), Err(missing), "{source}");
    }
    for (source, expected) in [
        ("{{ profile.traits.first_name | default: 'friend' }}", "Jo"),
        ("{{ profile.traits.plan | default: 'friend' }}", "friend"),
        ("{{ profile.traits.none | default: 'friend' }}", "friend"),
        ("{{ profile.traits.empty | default: 'friend' }}", "friend"),
        ("{{ profile.traits.empty }}", ""),
        ("{{ profile.traits.plan | capitalize | default: 'friend' }}", "friend"),
        ("{% if profile.traits.plan %}x{% else %}y{% endif %}", "y"),
        (
            "{% if profile.traits.plan and profile.traits.plan == 'pro' %}x{% else %}y{% endif %}",
            "y",
        ),
    ] {
        assert_eq!(html(source), expected, "{source}");
    }
}

#[test]
fn act_5_output_size_steps_and_memory_are_bounded() {
    let rounds = "{% for i in (1..1000) %}";
    let end = "{% endfor %}";
    let many = |body: &str, depth: usize| format!("{}{body}{}", rounds.repeat(depth), end.repeat(depth));
    let text = "y".repeat(1_000);
    for (what, source, expected) in [
        ("much text", many(&text, 1), RenderError::TooLarge),
        (
            "many outputs",
            many("{{ profile.traits.long }}", 1),
            RenderError::TooLarge,
        ),
        ("an empty loop", many("", 6), RenderError::TooLong),
        (
            "a text that doubles",
            format!("{{% assign s = 'ab' %}}{}", many("{% assign s = s | append: s %}", 1)),
            RenderError::TooLong,
        ),
    ] {
        assert_eq!(render(&source, Escaping::Html), Err(expected), "{what}");
    }
    let fits = "z".repeat(60_000);
    assert_eq!(
        html(&format!("{fits}{fits_again}", fits_again = "{{ profile.traits.long }}")).len(),
        120_000
    );
    const { assert!(TEMPLATE_BYTES_MAX < OUTPUT_BYTES_MAX) };
}

#[test]
fn act_5_what_cannot_be_bounded_or_is_misspelt_is_refused() {
    let nested = format!("{}{}", "{% if true %}".repeat(9), "{% endif %}".repeat(9));
    let brackets = format!("{{{{ profile{}1{} }}}}", "[profile".repeat(5_000), "]".repeat(5_000));
    let filters = format!("{{{{ profile.id {} }}}}", "| upcase ".repeat(17));
    for (source, expected) in [
        ("{% include 'x' %}", "not available"),
        ("{% render 'x' %}", "not available"),
        ("{% capture x %}{% endcapture %}", "not available"),
        ("{% raw %}{{ x }}{% endraw %}", "not available"),
        ("{% cycle 'a', 'b' %}", "not available"),
        ("{% esle %}", "did you mean \"else\"?"),
        ("{{ profile.id | upcas }}", "did you mean \"upcase\"?"),
        ("{{ profile.traits.items | join: 'x' }}", "not available"),
        ("{{ profle.id }}", "did you mean \"profile\"?"),
        ("{{ profile.trait.x }}", "did you mean \"traits\"?"),
        ("\n\n{{ nobody }}", "line 3"),
        ("{% for i in (1..1000000) %}{% endfor %}", "ranges"),
        ("{% for i in (1..profile.traits.n) %}{% endfor %}", "ranges"),
        ("{{ profile.id", "never closed"),
        ("{{ }}", "nothing between"),
        ("{{ profile.id | raw | upcase }}", "raw must be the last filter"),
        ("{{ '{{' }}", "cannot stand between"),
        ("{% assign x = '{{ profile.id }}' %}", "cannot stand between"),
        ("{{ profile.id, profile.id }}", ""),
        ("{{ profile.id = profile.id }}", ""),
        ("{% if profile.id %}", ""),
        ("{{ {{ profile.id }} }}", "cannot stand between"),
        (nested.as_str(), "nest deeper"),
        (brackets.as_str(), "more than 8 ["),
        (filters.as_str(), "filters in a row"),
    ] {
        let problems = Template::compile(source, Escaping::Html).expect_err(source);
        assert!(
            problems.iter().any(|problem| problem.contains(expected)),
            "{source}: {problems:?}"
        );
    }
    let large = "x".repeat(TEMPLATE_BYTES_MAX + 1);
    assert!(Template::compile(&large, Escaping::Html).is_err());
}

#[test]
fn act_5_no_template_writes_past_the_escaping() {
    // Pieces put together at random: whatever compiles must not let a tag of the person's through.
    let pieces = [
        "{{",
        "}}",
        "{%",
        "%}",
        "-",
        " ",
        "'",
        "\"",
        "|",
        "profile.traits.evil",
        "if",
        "endif",
        "assign x =",
        "x",
        "{",
        "}",
        "raw ",
        "comment",
        "endcomment",
        "for i in profile.traits.items",
        "endfor",
        "i",
        "default:",
        "=",
        "\n",
    ];
    let mut seed: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut next = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    let mut rendered = 0;
    for round in 0..30_000 {
        let source: String = match round % 2 {
            0 => (0..1 + next(9)).map(|_| pieces[next(pieces.len())]).collect(),
            _ => format!(
                "{{{{ profile.traits.evil {}{} }}}}",
                pieces[next(pieces.len())],
                pieces[next(pieces.len())]
            ),
        };
        if source.contains("raw") {
            continue;
        }
        if let Ok(template) = Template::compile(&source, Escaping::Html)
            && let Ok(text) = template.render(&given())
        {
            rendered += 1;
            assert!(!text.contains('<'), "{source:?} wrote {text:?}");
        }
    }
    assert!(rendered > 100, "only {rendered} templates were rendered");
}
