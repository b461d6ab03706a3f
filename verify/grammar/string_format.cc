#include "verify/grammar/string_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <string>

#include "core/check.h"
#include "verify/grammar/regex.h"

namespace ft::grammar {
namespace {

// RFC 3339, with the days that the month has.
std::string date() {
  constexpr std::string_view kLeapYear =
      "([0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)";
  return fmt::format(
      "([0-9]{{4}}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
      "|02-(0[1-9]|1[0-9]|2[0-8]))|{}-02-29)",
      kLeapYear);
}

std::string time() {
  return "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])";
}

constexpr std::string_view kByte = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";

std::string ipv4() {
  return fmt::format("({0}\\.){{3}}{0}", kByte);
}

std::string ipv6() {  // RFC 4291, section 2.2
  const std::string group = "[0-9A-Fa-f]{1,4}";
  const std::string last = fmt::format("({0}:{0}|{1})", group, ipv4());
  std::string all = fmt::format("({}:){{6}}{}", group, last);
  for (int behind = 5; behind >= 0; --behind) {  // groups behind "::" and before the last two
    const int before = 5 - behind;
    const std::string head = before == 0 ? "" : fmt::format("(({0}:){{0,{1}}}{0})?", group, before - 1);
    all += fmt::format("|{}::({}:){{{}}}{}", head, group, behind, last);
  }
  all += fmt::format("|(({0}:){{0,5}}{0})?::{0}|(({0}:){{0,6}}{0})?::", group);
  return "(" + all + ")";
}

constexpr std::string_view kLabel = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?";

std::string hostname() {
  return fmt::format("{0}(\\.{0})*", kLabel);
}

std::string email() {  // RFC 5321, without quoted local parts and address literals
  constexpr std::string_view kAtom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+";
  return fmt::format("{0}(\\.{0})*@{1}", kAtom, hostname());
}

// RFC 3986, appendix A.
std::string uri_tail(std::string_view first_segment) {
  constexpr std::string_view kEscaped = "%[0-9A-Fa-f]{2}";
  const std::string pchar = fmt::format("([A-Za-z0-9._~!$&'()*+,;=:@-]|{})", kEscaped);
  const std::string path = fmt::format("(/{}*)*", pchar);
  const std::string authority = fmt::format(
      "(([A-Za-z0-9._~!$&'()*+,;=:-]|{0})*@)?(\\[{1}\\]|([A-Za-z0-9._~!$&'()*+,;=-]|{0})*)(:[0-9]*)?",
      kEscaped, ipv6());
  return fmt::format("(//{0}{1}|/({2}+{1})?|({3}{1})?)(\\?({2}|[/?])*)?(#({2}|[/?])*)?", authority, path,
                     pchar, fmt::format(fmt::runtime(first_segment), pchar));
}

std::string uri() {
  return "[A-Za-z][A-Za-z0-9+.-]*:" + uri_tail("{}+");
}

std::string uri_reference() {
  return fmt::format("({}|{})", uri(), uri_tail("([A-Za-z0-9._~!$&'()*+,;=@-]|%[0-9A-Fa-f]{{2}})+"));
}

std::string uuid() {
  return "[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}";
}

std::string duration() {  // RFC 3339, appendix A
  const std::string clock = "T([0-9]+H([0-9]+M([0-9]+S)?)?|[0-9]+M([0-9]+S)?|[0-9]+S)";
  return fmt::format("P([0-9]+W|([0-9]+Y([0-9]+M([0-9]+D)?)?|[0-9]+M([0-9]+D)?|[0-9]+D)({0})?|{0})", clock);
}

struct Format {
  std::string_view name;
  std::string (*pattern)();
};
constexpr std::array<Format, 12> kFormats = {{
    {"date-time", [] { return date() + "T" + time(); }},
    {"date", date},
    {"time", time},
    {"duration", duration},
    {"email", email},
    {"hostname", hostname},
    {"ipv4", ipv4},
    {"ipv6", ipv6},
    {"uri", uri},
    {"uri-reference", uri_reference},
    {"uuid", uuid},
    {"json-pointer", [] { return std::string("(/([^/~]|~[01])*)*"); }},
}};
// The formats of draft 7 to 2020-12 that are not above.
constexpr std::array<std::string_view, 7> kUnsupported = {
    "idn-email", "idn-hostname", "iri", "iri-reference", "uri-template", "relative-json-pointer", "regex",
};

}  // namespace

FormatKind format_kind(std::string_view name) {
  if (name == "int32") return FormatKind::kInt32;
  if (name == "int64") return FormatKind::kInt64;
  if (std::any_of(kFormats.begin(), kFormats.end(),
                  [&](const Format& format) { return format.name == name; }))
    return FormatKind::kText;
  return std::find(kUnsupported.begin(), kUnsupported.end(), name) != kUnsupported.end()
             ? FormatKind::kUnsupported
             : FormatKind::kUnknown;
}

const Automaton& format_texts(std::string_view name) {
  static std::array<std::once_flag, kFormats.size()> once;
  static std::array<Automaton, kFormats.size()> automata;
  const auto known = std::find_if(kFormats.begin(), kFormats.end(),
                                  [&](const Format& format) { return format.name == name; });
  FT_CHECK(known != kFormats.end(), name);
  const auto i = static_cast<size_t>(known - kFormats.begin());
  std::call_once(once[i], [&] {
    Result<Automaton> automaton = compile_regex(known->pattern(), RegexMatch::kWhole);
    FT_CHECK(automaton.has_value(), name);
    automata[i] = std::move(*automaton);
  });
  return automata[i];
}

}  // namespace ft::grammar
