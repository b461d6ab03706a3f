#include "verify/grammar/char_kinds.h"

#include <array>
#include <string>
#include <string_view>

namespace ft::grammar {
namespace {

// ASCII characters that patterns often treat apart from other punctuation.
constexpr std::string_view kOwnKind = "_-./: ,@+=#";
// Lead bytes of characters among which white space is; other lead bytes share a kind.
constexpr std::array<uint8_t, 5> kOwnLead = {0xC2, 0xE1, 0xE2, 0xE3, 0xEF};

enum : unsigned { kLower, kUpper, kDigit, kPunctuation, kEscaped, kOtherLead, kFirstOwn };

}  // namespace

CharKinds kind_of(uint8_t byte) {
  const auto bit = [](size_t kind) { return CharKinds{1} << kind; };
  const char c = static_cast<char>(byte);
  if (byte < 0x20 || c == '"' || (byte >= 0x80 && byte < 0xC2) || byte > 0xF4) return kNeverKind;
  if (c == '\\') return bit(kEscaped);
  if (c >= 'a' && c <= 'z') return bit(kLower);
  if (c >= 'A' && c <= 'Z') return bit(kUpper);
  if (c >= '0' && c <= '9') return bit(kDigit);
  if (const size_t own = kOwnKind.find(c); own != std::string_view::npos) return bit(kFirstOwn + own);
  if (byte < 0x80) return bit(kPunctuation);
  for (size_t i = 0; i < kOwnLead.size(); ++i)
    if (byte == kOwnLead[i]) return bit(kFirstOwn + kOwnKind.size() + i);
  return bit(kOtherLead);
}

const std::vector<CharKindSet>& all_char_kinds() {
  static const std::vector<CharKindSet> kinds = [] {
    std::vector<CharKindSet> made;
    const auto add = [&](uint8_t lead, CodePoint first, CodePoint last) {
      const CharKinds kind = kind_of(lead);
      for (CharKindSet& known : made)
        if (known.kind == kind) return known.points.add(first, last);
      made.push_back({kind, CharSet({{first, last}})});
    };
    for (CodePoint point = 0; point < 0x80; ++point) {
      std::string text;
      append_character(text, point, TextForm::kJsonString);
      add(static_cast<uint8_t>(text[0]), point, point);
    }
    for (CodePoint lead = 0xC2; lead <= 0xF4; ++lead) {
      const auto byte = static_cast<uint8_t>(lead);
      if (lead < 0xE0)
        add(byte, (lead & 0x1F) << 6, ((lead & 0x1F) << 6) + 0x3F);
      else if (lead < 0xF0)
        add(byte, lead == 0xE0 ? 0x800 : (lead & 0xF) << 12, ((lead & 0xF) << 12) + 0xFFF);
      else
        add(byte, lead == 0xF0 ? 0x10000 : (lead & 7) << 18, ((lead & 7) << 18) + 0x3FFFF);
    }
    return made;
  }();
  return kinds;
}

}  // namespace ft::grammar
