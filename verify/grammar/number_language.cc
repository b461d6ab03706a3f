#include "verify/grammar/number_language.h"

#include <fmt/format.h>

#include <charconv>
#include <vector>

#include "core/check.h"
#include "verify/grammar/regex.h"

namespace ft::grammar {
namespace {

constexpr int kMaxExponent = 400;
constexpr uint32_t kMaxDivisor = 1000;
constexpr std::string_view kAnyFraction = "(\\.[0-9]+)?";

Automaton compiled(std::string_view pattern) {
  Result<Automaton> automaton = compile_regex(pattern, RegexMatch::kWhole);
  FT_CHECK(automaton.has_value(), pattern);
  return std::move(*automaton);
}

// Alternatives of a pattern, "" for none at all.
class Choice {
 public:
  void add(const std::string& pattern) {
    (text_ += empty_ ? "" : "|") += pattern;
    empty_ = false;
  }
  std::string text() const { return empty_ ? "[]" : "(" + text_ + ")"; }

 private:
  std::string text_;
  bool empty_ = true;
};

std::string digit_range(char low, char high) {
  return fmt::format("[{}-{}]", low, high);
}

// Integers over a bound, without sign.
std::string whole_over(const std::string& bound) {
  Choice choice;
  for (size_t i = 0; i < bound.size(); ++i)
    if (bound[i] != '9')
      choice.add(fmt::format("{}{}[0-9]{{{}}}", bound.substr(0, i),
                             digit_range(static_cast<char>(bound[i] + 1), '9'), bound.size() - i - 1));
  choice.add(fmt::format("[1-9][0-9]{{{},}}", bound.size()));
  return choice.text();
}

// Integers from `first`, which is 0 or 1, to below a bound.
std::string whole_under(const std::string& bound, char first = '0') {
  Choice choice;
  for (size_t i = 0; i < bound.size(); ++i) {
    const char least = i > 0 ? '0' : bound.size() > 1 ? '1' : first;
    if (bound[i] > least)
      choice.add(fmt::format("{}{}[0-9]{{{}}}", bound.substr(0, i),
                             digit_range(least, static_cast<char>(bound[i] - 1)), bound.size() - i - 1));
  }
  if (bound.size() > 1) choice.add(fmt::format("[1-9][0-9]{{0,{}}}", bound.size() - 2));
  if (bound.size() > 1 && first == '0') choice.add("0");
  return choice.text();
}

// Fractions, with their point or left out, at least (over) or at most (under) 0.`bound`.
std::string fraction_over(const std::string& bound, bool exclusive) {
  Choice choice;
  for (size_t i = 0; i < bound.size(); ++i)
    if (bound[i] != '9')
      choice.add(fmt::format("\\.{}{}[0-9]*", bound.substr(0, i),
                             digit_range(static_cast<char>(bound[i] + 1), '9')));
  if (exclusive)
    choice.add(fmt::format("\\.{}[0-9]*[1-9][0-9]*", bound));
  else
    choice.add(bound.empty() ? std::string(kAnyFraction) : fmt::format("\\.{}[0-9]*", bound));
  return choice.text();
}

std::string fraction_under(const std::string& bound, bool exclusive) {
  Choice choice;
  if (bound.empty()) {
    if (!exclusive) choice.add("(\\.0+)?");
    return choice.text();
  }
  choice.add("");
  for (size_t i = 0; i < bound.size(); ++i) {
    if (i > 0) choice.add("\\." + bound.substr(0, i));
    if (bound[i] != '0')
      choice.add(fmt::format("\\.{}{}[0-9]*", bound.substr(0, i),
                             digit_range('0', static_cast<char>(bound[i] - 1))));
  }
  if (!exclusive) choice.add(fmt::format("\\.{}0*", bound));
  return choice.text();
}

// Texts without sign.
std::string magnitude_over(const Decimal& bound, bool exclusive) {
  return fmt::format("({}{}|{}{})", whole_over(bound.whole), kAnyFraction, bound.whole,
                     fraction_over(bound.fraction, exclusive));
}

std::string magnitude_under(const Decimal& bound, bool exclusive) {
  return fmt::format("({}{}|{}{})", whole_under(bound.whole), kAnyFraction, bound.whole,
                     fraction_under(bound.fraction, exclusive));
}

constexpr std::string_view kAnyMagnitude = "(0|[1-9][0-9]*)(\\.[0-9]+)?";
constexpr std::string_view kDecimal = "-?(0|[1-9][0-9]{0,17})\\.[0-9]{1,22}";
constexpr std::string_view kScientific =
    "-?[0-9](\\.[0-9]{1,22})?[eE][+-]?(0?[0-9]{1,2}|[12][0-9]{2}|30[0-7])";

std::string integer_pattern() {
  return fmt::format("-?{}|-?9223372036854775807|-9223372036854775808|0",
                     whole_under("9223372036854775807", '1'));
}

}  // namespace

std::string Decimal::text() const {
  return fmt::format("{}{}{}{}", negative ? "-" : "", whole, fraction.empty() ? "" : ".", fraction);
}

Result<Decimal> parse_decimal(std::string_view text) {
  Decimal decimal;
  std::string_view rest = text;
  if (rest.starts_with('-')) {
    decimal.negative = true;
    rest.remove_prefix(1);
  }
  int exponent = 0;
  if (const size_t e = rest.find_first_of("eE"); e != std::string_view::npos) {
    std::string_view digits = rest.substr(e + 1);
    if (digits.starts_with('+')) digits.remove_prefix(1);
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), exponent);
    if (read.ec != std::errc() || exponent < -kMaxExponent || exponent > kMaxExponent)
      return fail(ErrorCode::kInvalidArgument, "the number {} has an exponent over {}", text, kMaxExponent);
    rest = rest.substr(0, e);
  }
  const size_t point = rest.find('.');
  std::string digits(rest.substr(0, point));
  auto places = static_cast<int>(digits.size());  // digits before the point
  if (point != std::string_view::npos) digits += rest.substr(point + 1);
  places += exponent;
  if (places <= 0) digits.insert(0, static_cast<size_t>(1 - places), '0');
  places = std::max(places, 1);
  if (digits.size() < static_cast<size_t>(places)) digits.resize(static_cast<size_t>(places), '0');
  decimal.whole = digits.substr(0, static_cast<size_t>(places));
  decimal.fraction = digits.substr(static_cast<size_t>(places));
  decimal.whole.erase(0, std::min(decimal.whole.find_first_not_of('0'), decimal.whole.size() - 1));
  decimal.fraction.resize(decimal.fraction.find_last_not_of('0') + 1);
  if (decimal.is_zero()) decimal.negative = false;
  return decimal;
}

const Automaton& all_numbers() {
  static const Automaton numbers =
      compiled(fmt::format("{}|-0|{}|{}", integer_pattern(), kDecimal, kScientific));
  return numbers;
}

const Automaton& plain_numbers() {
  static const Automaton numbers = compiled(fmt::format("{}|-0|{}", integer_pattern(), kDecimal));
  return numbers;
}

const Automaton& all_integers() {
  static const Automaton integers = compiled(integer_pattern());
  return integers;
}

const Automaton& fractional_numbers() {
  static const Automaton numbers = compiled("-?(0|[1-9][0-9]{0,17})\\.(?:0{0,21}[1-9][0-9]{0,21})");
  return numbers;
}

Result<Automaton> at_least(const Decimal& bound, bool exclusive) {
  std::string pattern;
  if (bound.negative)
    pattern = fmt::format("{}|-{}", kAnyMagnitude, magnitude_under(bound, exclusive));
  else
    pattern = magnitude_over(bound, exclusive);
  return compile_regex(pattern, RegexMatch::kWhole);
}

Result<Automaton> at_most(const Decimal& bound, bool exclusive) {
  std::string pattern;
  if (bound.negative)
    pattern = "-" + magnitude_over(bound, exclusive);
  else if (bound.is_zero())
    pattern = fmt::format("-{}|{}", magnitude_over(bound, true), exclusive ? "[]" : "0(\\.0+)?");
  else
    pattern = fmt::format("-{}|{}", kAnyMagnitude, magnitude_under(bound, exclusive));
  return compile_regex(pattern, RegexMatch::kWhole);
}

Result<Automaton> multiples_of(const Decimal& divisor) {
  const std::string digits = divisor.whole + divisor.fraction;
  uint64_t modulus = 0;  // the divisor times 10^places
  for (const char digit : digits) modulus = std::min<uint64_t>(modulus * 10 + (digit - '0'), kMaxDivisor + 1);
  if (divisor.negative || modulus == 0)
    return fail(ErrorCode::kInvalidArgument, "{} is not positive", divisor.text());
  const size_t places = divisor.fraction.size();
  // A divisor like 5000 has as many digits that matter as 5; its zeros are states all the same.
  if (modulus > kMaxDivisor || places > 20)
    return fail(ErrorCode::kTooLarge, "{} has too many digits (over {})", divisor.text(), kMaxDivisor);
  const auto m = static_cast<uint32_t>(modulus);
  std::vector<CharSet> sets = {CharSet::of('-'), CharSet::of('.')};
  for (CodePoint digit = '0'; digit <= '9'; ++digit) sets.push_back(CharSet::of(digit));
  std::vector<std::vector<bool>> members;
  const Partition partition = make_partition(sets, members);
  const auto klass = [&](char c) {
    return static_cast<uint32_t>(partition.class_of(static_cast<CodePoint>(c)));
  };
  std::vector<uint32_t> rest_of_places(places + 1);  // 10^(places - j) mod m
  rest_of_places[places] = 1 % m;
  for (size_t j = places; j-- > 0;) rest_of_places[j] = rest_of_places[j + 1] * 10 % m;
  AutomatonBuilder builder(partition);
  const uint32_t start = builder.add_state(0);
  const uint32_t sign = builder.add_state(0);
  builder.set_next(start, klass('-'), sign);
  // Digits read so far modulo m: before the point, right behind it, and behind `places` digits of the
  // fraction or fewer; then only zeros.
  const auto multiple = [&](size_t j, uint32_t r) -> uint32_t { return r * rest_of_places[j] % m == 0; };
  std::vector<uint32_t> whole(m);
  for (uint32_t r = 0; r < m; ++r) whole[r] = builder.add_state(multiple(0, r));
  std::vector<std::vector<uint32_t>> behind(places + 1, std::vector<uint32_t>(m));
  for (size_t j = 0; j <= places; ++j)
    for (uint32_t r = 0; r < m; ++r) behind[j][r] = builder.add_state(j > 0 && multiple(j, r));
  std::vector<uint32_t> zeros(m);
  for (uint32_t r = 0; r < m; ++r) zeros[r] = builder.add_state(multiple(places, r));
  const uint32_t zero = builder.add_state(1);  // "0": no digit may follow
  for (const uint32_t from : {start, sign}) {
    builder.set_next(from, klass('0'), zero);
    for (char digit = '1'; digit <= '9'; ++digit)
      builder.set_next(from, klass(digit), whole[static_cast<uint32_t>(digit - '0') % m]);
  }
  builder.set_next(zero, klass('.'), behind[0][0]);
  for (uint32_t r = 0; r < m; ++r) {
    builder.set_next(whole[r], klass('.'), behind[0][r]);
    for (char digit = '0'; digit <= '9'; ++digit) {
      const uint32_t to = (r * 10 + static_cast<uint32_t>(digit - '0')) % m;
      builder.set_next(whole[r], klass(digit), whole[to]);
      for (size_t j = 0; j < places; ++j) builder.set_next(behind[j][r], klass(digit), behind[j + 1][to]);
    }
    builder.set_next(behind[places][r], klass('0'), zeros[r]);
    builder.set_next(zeros[r], klass('0'), zeros[r]);
  }
  return std::move(builder).build(start);
}

Result<Automaton> equal_to(std::span<const Decimal> values, Zeros zeros) {
  Choice choice;
  const std::string_view end = zeros == Zeros::kAll ? "0*" : "";
  for (const Decimal& value : values) {
    std::string pattern = (value.negative ? "-" : "") + value.whole;
    if (value.fraction.empty())
      pattern += zeros == Zeros::kAll ? "(\\.0+)?" : "(\\.0)?";
    else
      pattern += fmt::format("\\.{}{}", value.fraction, end);
    choice.add(pattern);
  }
  return compile_regex(choice.text(), RegexMatch::kWhole);
}

}  // namespace ft::grammar
