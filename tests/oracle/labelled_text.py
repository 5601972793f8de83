# SPDX-License-Identifier: Apache-2.0
"""Sentences that hold one secret or one piece of personal data each, with its place, and sentences that only look like it. Numbers with a
check digit are those that python-stdnum takes; their hard negatives are those that it refuses."""
import base64
import ipaddress
import json
import random
import string

from stdnum import iban, luhn
from stdnum.au import abn, acn, tfn
from stdnum.ca import sin
from stdnum.de import idnr as de_idnr
from stdnum.es import dni, nie
from stdnum.fi import hetu
from stdnum.gb import nhs
from stdnum.in_ import aadhaar, gstin, pan
from stdnum.it import codicefiscale, iva
from stdnum.kr import rrn
from stdnum.pl import pesel
from stdnum.se import personnummer
from stdnum.th import pin
from stdnum.tr import tckimlik
from stdnum.us import itin, rtn, ssn
from stdnum.za import idnr as za_idnr

UPPER, LOWER, DIGITS = string.ascii_uppercase, string.ascii_lowercase, string.digits
BASE62, HEX = string.ascii_letters + DIGITS, DIGITS + "abcdef"


class Maker:
    def __init__(self, seed):
        self.draw = random.Random(seed)

    def text(self, alphabet, count):
        return "".join(self.draw.choice(alphabet) for _ in range(count))

    def shape(self, shape):
        """'#' a digit, '@' a capital."""
        return "".join(self.draw.choice(DIGITS) if c == "#" else self.draw.choice(UPPER) if c == "@" else c for c in shape)

    def number(self, module, *shapes, valid=True):
        """A number of one of the shapes that the module of stdnum takes, or refuses."""
        while True:
            made = self.shape(self.draw.choice(shapes))
            if module.is_valid(made) == valid:
                return made

    def date(self):
        return f"{self.draw.randint(50, 99):02}{self.draw.randint(1, 12):02}{self.draw.randint(1, 28):02}"


def secrets(m):
    """Kind, how one is made, sentences around it ('{}'), and what only looks like one."""
    b62 = lambda n: m.text(BASE62, n)
    code = ["export KEY={}", "The key is {} and nobody has changed it.", 'client = Client("{}")', "Please use {} for the staging account."]
    yield "AWS_ACCESS_KEY", lambda: m.draw.choice(["AKIA", "ASIA"]) + m.text(UPPER + "234567", 16), code, [lambda: "AKIA" + m.text(UPPER, 9), lambda: "XAKIA" + m.text(UPPER, 14)]
    yield "AWS_SECRET_KEY", lambda: b62(20) + "/" + b62(19), ["aws_secret_access_key = {}", 'AWS_SECRET_KEY="{}"', "aws secret key: {}"], [lambda: "aws secret of commit " + m.text(HEX, 40)]
    yield "GITHUB_TOKEN", lambda: "ghp_" + b62(36), code, [lambda: "ghp_" + b62(12), lambda: "ghp_tokens_are_secret"]
    yield "GITLAB_TOKEN", lambda: "glpat-" + b62(20), code, [lambda: "glpat-short"]
    yield "SLACK_TOKEN", lambda: f"xoxb-{m.text(DIGITS, 12)}-{m.text(DIGITS, 12)}-{b62(24)}", code, [lambda: "xoxb-", lambda: "xoxo-love-" + m.text(LOWER, 12)]
    yield "STRIPE_KEY", lambda: "sk_live_" + b62(24), code, [lambda: "sk_live_", lambda: "risk_live_" + m.text(LOWER, 6)]
    yield "GOOGLE_API_KEY", lambda: "AIza" + b62(35), code, [lambda: "AIza" + b62(10)]
    yield "AZURE_STORAGE_KEY", lambda: b62(86) + "==", ["AccountName=store;AccountKey={};EndpointSuffix=core.windows.net"], [lambda: "AccountKey=" + b62(20)]
    yield "NPM_TOKEN", lambda: "npm_" + b62(36), code, [lambda: "npm_config_registry", lambda: "npm_lifecycle_event"]
    yield "PYPI_TOKEN", lambda: "pypi-AgEIcHlwaS5vcmc" + b62(90), code, [lambda: "pypi-AgE"]
    yield "SENDGRID_KEY", lambda: f"SG.{b62(22)}.{b62(43)}", code, [lambda: "SG.com.example"]
    yield "TWILIO_KEY", lambda: "SK" + m.text(HEX, 32), code, [lambda: "SK" + m.text(HEX, 20)]
    yield "MAILCHIMP_KEY", lambda: m.text(HEX, 32) + "-us12", code, [lambda: m.text(HEX, 32) + "-eu12", lambda: "thank-us12"]
    yield "TELEGRAM_BOT_TOKEN", lambda: f"{m.draw.randint(10**8, 10**9)}:AA{b62(33)}", ["bot token {} here", "TELEGRAM={}"], [lambda: f"{m.draw.randint(10**8, 10**9)}:00"]
    yield "DISCORD_TOKEN", lambda: f"{base64.b64encode(m.text('123456789', 18).encode()).decode()}.{b62(6)}.{b62(27)}", code, [lambda: f"M{m.text(LOWER, 23)}.{m.text(LOWER, 6)}.{m.text(LOWER, 27)}"]
    yield "OPENAI_KEY", lambda: f"sk-{b62(20)}T3BlbkFJ{b62(20)}", code, [lambda: "sk-learn-pipeline-with-a-long-name-of-words"]
    yield "ANTHROPIC_KEY", lambda: f"sk-ant-api03-{b62(93)}AA", code, [lambda: "sk-ant-"]
    yield "HUGGINGFACE_TOKEN", lambda: "hf_" + b62(34), code, [lambda: "hf_hub_download", lambda: "hf_model_weights_only_one"]
    yield "JWT", lambda: ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in ('{"alg":"HS256","typ":"JWT"}', '{"sub":"' + b62(9) + '"}', b62(32))), code, \
        [lambda: f"eyJ{m.text(LOWER, 20)}.eyJ{m.text(LOWER, 20)}.{m.text(LOWER, 20)}"]
    yield "PRIVATE_KEY", lambda: "-----BEGIN RSA PRIVATE KEY-----\n" + "\n".join(b62(64) for _ in range(4)) + "\n-----END RSA PRIVATE KEY-----", ["Here it is:\n{}\nkeep it"], \
        [lambda: "-----BEGIN PUBLIC KEY-----", lambda: "-----BEGIN CERTIFICATE-----"]
    yield "BASIC_AUTH", lambda: b62(12), ["https://deploy:{}@registry.example.org/v2/", "postgres://app:{}@db:5432/app"], \
        [lambda: "https://registry.example.org:8443/a@b", lambda: "https://user:<password>@host.example.org", lambda: "https://user:${PASSWORD}@host.example.org"]
    yield "GENERIC_SECRET", lambda: b62(32), ['api_key = "{}"', "secret: {}", 'headers = {{"X-Auth-Token": "t"}}; client_secret="{}"', "SERVICE_TOKEN={}"], \
        [lambda: 'tokenizer = "meta-llama/Llama-3.2-1B-Instruct"', lambda: 'api_key = os.environ["SERVICE_API_KEY_2"]', lambda: 'token = "<your-token-1234567890>"', lambda: "secret: /run/secrets/key1_of_the_service"]
    yield "PASSWORD", lambda: m.text(LOWER, 6) + m.text(DIGITS, 3) + "!", ['password = "{}"', "db_password: '{}'", 'PWD="{}"'], \
        [lambda: 'password = "<password>"', lambda: "password = getpass.getpass()", lambda: 'password: "your_password"', lambda: "I forgot my password again"]


def personal(m):
    d = lambda n: m.text(DIGITS, n)
    plain = ["It is {}.", "We have {} on file for this customer.", "{} was entered yesterday", "(see {})"]

    def names(*words):
        return [f"{word} {{}}" for word in words] + [f"The {words[0]} is {{}}, as agreed.", f"{{}} is the {words[0]} that they gave."]

    def card():
        prefix, length = m.draw.choice([("4", 16), ("51", 16), ("55", 16), ("37", 15), ("6011", 16)])
        body = prefix + d(length - len(prefix) - 1)
        number = body + luhn.calc_check_digit(body)
        return number if m.draw.random() < 0.5 or length == 15 else " ".join(number[i:i + 4] for i in range(0, 16, 4))

    def wrong_card():
        number = "4" + d(15)
        return number if not luhn.is_valid(number) else wrong_card()

    def account():
        country, shape = m.draw.choice([("DE", "#" * 18), ("GB", "@@@@" + "#" * 14), ("FR", "#" * 23), ("NL", "@@@@" + "#" * 10), ("ES", "#" * 20)])
        body = m.shape(shape)
        number = country + iban.calc_check_digits(country + "00" + body) + body
        return number if m.draw.random() < 0.5 else " ".join(number[i:i + 4] for i in range(0, len(number), 4))

    def wrong_account():
        number = "DE" + d(20)
        return number if not iban.is_valid(number, check_country=False) else wrong_account()

    def bech32_or_base58():
        import hashlib
        payload = b"\0" + bytes(m.draw.randrange(256) for _ in range(20))
        raw = payload + hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
        value, out = int.from_bytes(raw, "big"), ""
        while value:
            value, rest = divmod(value, 58)
            out = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"[rest] + out
        return "1" + out

    def business(off):
        """Korea's: weights 1 3 7 1 3 7 1 3 5, the tens of the last product too."""
        body = m.shape("1########")
        total = sum(int(digit) * weight for digit, weight in zip(body, (1, 3, 7, 1, 3, 7, 1, 3, 5))) + int(body[8]) * 5 // 10
        return f"{body[:3]}-{body[3:5]}-{body[5:]}{(10 - total % 10 + off) % 10}"

    words = ["jane", "ravi.kumar", "o_brien", "info", "maria-jose", "x.y+tag"]
    yield "EMAIL_ADDRESS", lambda: f"{m.draw.choice(words)}{m.draw.randint(1, 999)}@{m.draw.choice(['example.com', 'mail.example.co.uk', 'test-host.org'])}", plain, \
        [lambda: "user@localhost", lambda: "a @ b.com", lambda: "@decorator.method", lambda: "meet me @ 5.30"]
    yield "CREDIT_CARD", card, plain, [wrong_card, lambda: "3.1415926535897932384", lambda: "0000 0000 0000 0000", lambda: "order " + "9" + d(15)]
    yield "IBAN_CODE", account, plain, [wrong_account, lambda: "DE12 is a motorway", lambda: m.shape("ZZ##################")]
    yield "IP_ADDRESS", lambda: str(ipaddress.ip_address(m.draw.randrange(0x0B000000, 0xDF000000))) if m.draw.random() < 0.6 else str(ipaddress.IPv6Address(m.draw.getrandbits(128))), plain, \
        [lambda: "version 1.2.3.4.5", lambda: "300.1.2.3", lambda: "12:30:45", lambda: "std::vector<int>", lambda: "1.2.3"]
    yield "MAC_ADDRESS", lambda: m.draw.choice([":", "-"]).join(m.text(HEX, 2) for _ in range(6)), plain, [lambda: ":".join(m.text(HEX, 2) for _ in range(5)), lambda: "ff-ff-ff-ff-ff-ff"]
    yield "PHONE_NUMBER", lambda: m.draw.choice([f"+1 {m.draw.randint(201, 989)} {m.draw.randint(201, 989)} {d(4)}", f"({m.draw.randint(201, 989)}) {m.draw.randint(201, 989)}-{d(4)}",
                                                 f"+44 20 7946 {d(4)}", f"+49 30 {d(6)}", f"{m.draw.randint(201, 989)}-{m.draw.randint(201, 989)}-{d(4)}", f"+33 1 {d(2)} {d(2)} {d(2)} {d(2)}"]), \
        ["Call me at {}.", "My number is {}, any time.", "{} is the desk"], [lambda: f"invoice 2023-{d(4)}", lambda: f"order number {d(8)}", lambda: "2024-05-17 12:30", lambda: "978-3-16-148410-0", lambda: f"1 + {d(3)} + {d(3)}"]
    yield "CRYPTO", bech32_or_base58, plain, [lambda: "1" + m.text("ABCDEFGHJKLMNPQRSTUVWXYZ123456789", 32), lambda: "3" + m.text("abcdefghijkmnopqrstuvwxyz123456789", 33)]
    yield "US_SSN", lambda: m.number(ssn, "###-##-####"), plain, [lambda: "000-" + d(2) + "-" + d(4), lambda: "666-12-3456", lambda: f"{d(3)}-00-{d(4)}", lambda: f"part {d(3)}-{d(3)}-{d(3)}"]
    yield "US_ITIN", lambda: m.number(itin, "9##-##-####"), plain, [lambda: f"9{d(2)}-{m.draw.randint(10, 49)}-{d(4)}"]
    yield "US_PASSPORT", lambda: m.shape("@########"), names("passport", "passport number"), [lambda: "ticket " + m.shape("@########")]
    yield "US_DRIVER_LICENSE", lambda: m.shape("@#######"), names("driver license", "driver's license number"), [lambda: "case " + m.shape("@#######")]
    yield "US_BANK_NUMBER", lambda: m.shape("##########"), names("bank account", "checking account"), [lambda: "tracking " + m.shape("##########")]
    yield "ABA_ROUTING_NUMBER", lambda: m.number(rtn, "0########", "11#######", "12#######"), names("routing number"), [lambda: "routing " + m.number(rtn, "0########", valid=False)]
    yield "UK_NHS", lambda: m.number(nhs, "###########"[:10], "### ### ####"), names("NHS number", "nhs"), [lambda: "nhs " + m.number(nhs, "### ### ####", valid=False)]
    yield "UK_NINO", lambda: m.draw.choice(["AB", "CE", "JG", "PX"]) + m.shape(m.draw.choice(["######", " ## ## ## "])) + m.draw.choice("ABCD"), plain, [lambda: "GB" + d(6) + "A", lambda: "AB" + d(6) + "Z"]
    yield "ES_NIF", lambda: m.number(dni, "########@"), plain, [lambda: m.number(dni, "########@", valid=False)]
    yield "ES_NIE", lambda: m.number(nie, "X#######@", "Y#######@"), plain, [lambda: m.number(nie, "X#######@", valid=False)]
    yield "IT_FISCAL_CODE", lambda: (lambda body: body + codicefiscale.calc_check_digit(body))(m.shape("@@@@@@##") + m.draw.choice("ABCDEHLMPRST") + f"{m.draw.randint(1, 31):02}" + m.shape("@###")), plain, \
        [lambda: (lambda body: body + chr(65 + (ord(codicefiscale.calc_check_digit(body)) - 64) % 26))("RSSMRA85T10A" + d(3))]
    yield "IT_VAT_CODE", lambda: m.number(iva, "0##########"), names("partita IVA", "P.IVA"), [lambda: "partita iva " + m.number(iva, "0##########", valid=False)]
    yield "PL_PESEL", lambda: m.number(pesel, m.date() + "#####"), names("PESEL"), [lambda: "pesel " + m.number(pesel, m.date() + "#####", valid=False)]
    yield "FI_PERSONAL_IDENTITY_CODE", lambda: next(code for code in (f"{m.draw.randint(1, 28):02}{m.draw.randint(1, 12):02}{m.draw.randint(50, 99)}-{body}{check}" for body in [f"{m.draw.randint(2, 899):03}"] * 999
                                                                    for check in "0123456789ABCDEFHJKLMNPRSTUVWXY") if hetu.is_valid(code)), plain, [lambda: "131052-308A"]
    yield "SE_PERSONNUMMER", lambda: m.number(personnummer, m.date() + "-####"), plain, [lambda: m.number(personnummer, m.date() + "-####", valid=False)]
    yield "DE_TAX_ID", lambda: m.number(de_idnr, "###########"), names("Steuer-ID", "Steueridentifikationsnummer"), [lambda: "Steuer-ID " + m.number(de_idnr, "8##########", valid=False)]
    yield "AU_ABN", lambda: m.number(abn, "## ### ### ###"), names("ABN"), [lambda: "ABN " + m.number(abn, "5# ### ### ###", valid=False)]
    yield "AU_ACN", lambda: m.number(acn, "### ### ###"), names("ACN"), [lambda: "ACN " + m.number(acn, "1## ### ###", valid=False)]
    yield "AU_TFN", lambda: m.number(tfn, "### ### ###"), names("TFN", "tax file number"), [lambda: "TFN " + m.number(tfn, "1## ### ###", valid=False)]
    yield "IN_AADHAAR", lambda: m.number(aadhaar, "#### #### ####", "############"), names("Aadhaar", "aadhaar number"), [lambda: "Aadhaar " + m.number(aadhaar, "4### #### ####", valid=False)]
    yield "IN_PAN", lambda: m.number(pan, "@@@P@####@", "@@@C@####@"), plain, [lambda: m.shape("@@@Z@####@")]
    yield "IN_GSTIN", lambda: m.number(gstin, "29@@@P@####@1Z#", "07@@@C@####@1Z@"), plain, [lambda: m.number(gstin, "29@@@P@####@1Z#", valid=False)]
    yield "CA_SIN", lambda: m.number(sin, "### ### ###"), names("SIN", "social insurance number"), [lambda: "SIN " + m.number(sin, "1## ### ###", valid=False)]
    yield "KR_RRN", lambda: m.number(rrn, m.date() + "-1######"), plain, [lambda: m.number(rrn, m.date() + "-1######", valid=False)]
    yield "KR_BRN", lambda: business(0), plain, [lambda: business(m.draw.randint(1, 9))]
    yield "TH_TNIN", lambda: m.number(pin, "1-####-#####-##-#", "3############"), names("Thai national ID", "Thai ID"), [lambda: "Thai national ID " + m.number(pin, "1############", valid=False)]
    yield "TR_NATIONAL_ID", lambda: m.number(tckimlik, "1##########", "4##########"), names("TC Kimlik", "kimlik"), [lambda: "kimlik " + m.number(tckimlik, "1##########", valid=False)]
    yield "ZA_ID_NUMBER", lambda: m.number(za_idnr, m.date() + "####08#"), names("South African ID number", "RSA id"), [lambda: "RSA id " + m.number(za_idnr, m.date() + "####08#", valid=False)]


# What no kind may be found in.
ORDINARY = [
    "How do I list all files that were changed in the last 24 hours?", "find . -mtime -1 -type f | xargs ls -la", "The meeting is on 2024-05-17 at 12:30:45 in room 4.12.",
    "Version 10.15.7 build 19H2 was released with 1,234 fixes.", "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "commit 3b18e512dba79e4c8300dd08aeb37f8e728b8dad",
    "id 123e4567-e89b-12d3-a456-426614174000", "ISBN 978-3-16-148410-0", "It costs $1,299.00, or 1.299,00 EUR.", "pi is 3.14159265358979323846", "for (int i = 0; i < 1000000007; ++i) sum += a[i];",
    "git clone https://example.org/team/project.git", "The secret of good bread is time, and the key is patience.", "max_tokens=4096, temperature=0.7, top_p=0.95", "a::b::c and x ? y : z",
    "tar -xzf archive-1.2.3.tar.gz -C /opt/tools", "Coordinates 52.520008, 13.404954", "The token is a word or a part of one.", "My passport is in the drawer.", "Call the function with three arguments.",
]


def make(seed=1, each=24):
    """Rows of (text, kind or None, begin, end)."""
    m = Maker(seed)
    rows = [(text, None, 0, 0) for text in ORDINARY]
    for kind, value, sentences, near_misses in [*secrets(m), *personal(m)]:
        for i in range(each):
            made, sentence = value(), sentences[i % len(sentences)]
            before = sentence.split("{}")[0].replace("{{", "{").replace("}}", "}")
            rows.append((sentence.replace("{{", "{").replace("}}", "}").replace("{}", made), kind, len(before), len(before) + len(made)))
            rows.append((near_misses[i % len(near_misses)](), None, 0, 0))
    m.draw.shuffle(rows)
    return rows


def as_jsonl(rows):
    return "".join(json.dumps({"text": text}) + "\n" for text, *_ in rows)


def scores(rows, found):
    """Precision and recall of each kind; `found` has (kind, begin, end) of each row, in characters of its text."""
    counts = {}
    for (_, label, begin, end), matches in zip(rows, found, strict=True):
        hit = label is not None and any(kind == label and a < end and begin < b for kind, a, b in matches)
        if label is not None:
            true, false, missed = counts.get(label, (0, 0, 0))
            counts[label] = (true + hit, false, missed + (not hit))
        for kind in {kind for kind, a, b in matches if not (kind == label and a < end and begin < b)}:
            true, false, missed = counts.get(kind, (0, 0, 0))
            counts[kind] = (true, false + 1, missed)
    return {kind: (true / (true + false) if true + false else None, true / (true + missed) if true + missed else None) for kind, (true, false, missed) in sorted(counts.items())}


def found_in(report, rows):
    """Of each row the findings as places in its text; of these ASCII texts a byte is a character, and '\\n' takes two in JSON."""
    found = [[] for _ in rows]
    for finding in report["findings"]:
        if finding["column"] == 0 or finding["kind"] == "MORE_FINDINGS":
            continue
        text = rows[finding["line"] - 1][0]
        raw = json.dumps(text)
        at = len(json.loads(raw[:finding["column"] - len('{"text": ')] + '"'))
        found[finding["line"] - 1].append((finding["kind"], at, at + int(finding["detail"].split()[0])))
    return found
