#include "verify/grammar/char_classifier.h"

#include <algorithm>

#include "core/check.h"

namespace ft::grammar {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";

// The letter behind the backslash, or 0.
char short_escape(CodePoint point) {
  switch (point) {
    case '"':
      return '"';
    case '\\':
      return '\\';
    case '\b':
      return 'b';
    case '\f':
      return 'f';
    case '\n':
      return 'n';
    case '\r':
      return 'r';
    case '\t':
      return 't';
    default:
      return 0;
  }
}

}  // namespace

void append_character(std::string& out, CodePoint point, TextForm form) {
  if (form == TextForm::kJsonString) {
    if (const char letter = short_escape(point)) {
      out += '\\';
      out += letter;
      return;
    }
    if (point < 0x20) {
      out += "\\u00";
      out += kHex[point >> 4];
      out += kHex[point & 15];
      return;
    }
  }
  const auto tail = [&](int shift) { out += static_cast<char>(0x80 | (point >> shift & 0x3F)); };
  if (point < 0x80) {
    out += static_cast<char>(point);
  } else if (point < 0x800) {
    out += static_cast<char>(0xC0 | point >> 6);
    tail(0);
  } else if (point < 0x10000) {
    out += static_cast<char>(0xE0 | point >> 12);
    tail(6);
    tail(0);
  } else {
    out += static_cast<char>(0xF0 | point >> 18);
    tail(12);
    tail(6);
    tail(0);
  }
}

std::string encoded(std::u32string_view text, TextForm form) {
  std::string out;
  for (const char32_t point : text) append_character(out, point, form);
  return out;
}

CharClassifier::CharClassifier(const Partition& partition, TextForm form) : partition_(&partition) {
  add_unit();
  for (CodePoint point = 0; point < 0x80; ++point) {
    if (form == TextForm::kJsonString && (point < 0x20 || short_escape(point) != 0)) continue;
    steps_[kBoundary][point] = static_cast<int16_t>(partition.class_of(point));
  }
  if (form == TextForm::kJsonString) add_json_escapes();
  for (uint32_t lead = 0xC2; lead <= 0xF4; ++lead) {
    const auto byte = static_cast<uint8_t>(lead);
    if (lead < 0xE0)
      add_lead(byte, (lead & 0x1F) << 6, 1, 0x80, 0xBF);
    else if (lead < 0xF0)  // E0 would be overlong below A0; ED from A0 on are surrogates
      add_lead(byte, (lead & 0xF) << 12, 2, lead == 0xE0 ? 0xA0 : 0x80, lead == 0xED ? 0x9F : 0xBF);
    else
      add_lead(byte, (lead & 7) << 18, 3, lead == 0xF0 ? 0x90 : 0x80, lead == 0xF4 ? 0x8F : 0xBF);
  }
  find_reachable();
  partition_ = nullptr;
}

uint32_t CharClassifier::add_unit() {
  steps_.emplace_back().fill(kInvalid);
  FT_CHECK(steps_.size() < INT16_MAX);
  return static_cast<uint32_t>(steps_.size() - 1);
}

void CharClassifier::add_lead(uint8_t lead, CodePoint low, int count, uint8_t first, uint8_t last) {
  CodePoint span = 1;
  for (int i = 0; i < count; ++i) span *= kTail;
  uint32_t unit = 0;
  if (first == 0x80 && last == 0xBF) {
    unit = tail(low, count);
  } else {
    unit = add_unit();
    for (uint32_t byte = first; byte <= last; ++byte) {
      const auto to =
          static_cast<int16_t>(-static_cast<int>(tail(low + (byte - 0x80) * (span / kTail), count - 1)));
      steps_[unit][byte] = to;
    }
  }
  steps_[kBoundary][lead] = static_cast<int16_t>(-static_cast<int>(unit));
}

uint32_t CharClassifier::tail(CodePoint low, int count) {
  CodePoint span = 1;
  for (int i = 0; i < count; ++i) span *= kTail;
  const uint16_t klass = partition_->class_of(low);
  const bool shared = partition_->interval_end(low) >= low + span - 1;
  if (shared) {
    const auto known = shared_tails_.find({count, klass});
    if (known != shared_tails_.end()) return known->second;
  }
  const uint32_t unit = add_unit();
  for (uint32_t i = 0; i < kTail; ++i) {
    const CodePoint point = low + i * (span / kTail);
    const auto to = count == 1 ? static_cast<int16_t>(partition_->class_of(point))
                               : static_cast<int16_t>(-static_cast<int>(tail(point, count - 1)));
    steps_[unit][0x80 + i] = to;
  }
  if (shared) shared_tails_[{count, klass}] = unit;
  return unit;
}

void CharClassifier::add_json_escapes() {
  const auto chain = [&](uint32_t from, uint8_t byte) {
    const uint32_t to = add_unit();
    steps_[from][byte] = static_cast<int16_t>(-static_cast<int>(to));
    return to;
  };
  const uint32_t escape = chain(kBoundary, '\\');
  for (CodePoint point = 0; point < 0x80; ++point)
    if (const char letter = short_escape(point))
      steps_[escape][static_cast<uint8_t>(letter)] = static_cast<int16_t>(partition_->class_of(point));
  const uint32_t zeros = chain(chain(chain(escape, 'u'), '0'), '0');
  for (CodePoint high = 0; high < 2; ++high) {
    const uint32_t last = chain(zeros, static_cast<uint8_t>(kHex[high]));
    for (CodePoint low = 0; low < 16; ++low)
      if (const CodePoint point = high * 16 + low; short_escape(point) == 0)
        steps_[last][static_cast<uint8_t>(kHex[low])] = static_cast<int16_t>(partition_->class_of(point));
  }
}

void CharClassifier::find_reachable() {
  reachable_.resize(steps_.size());
  std::vector<bool> done(steps_.size(), false);
  // Units lead on to others without a circle; their depth is at most 5.
  const auto find = [&](const auto& self, uint32_t unit) -> void {
    if (done[unit]) return;
    done[unit] = true;
    std::vector<uint16_t> classes;
    for (const int16_t step : steps_[unit]) {
      if (step == kInvalid) continue;
      if (step >= 0) {
        classes.push_back(static_cast<uint16_t>(step));
      } else {
        const auto to = static_cast<uint32_t>(-step);
        self(self, to);
        classes.insert(classes.end(), reachable_[to].begin(), reachable_[to].end());
      }
    }
    std::sort(classes.begin(), classes.end());
    classes.erase(std::unique(classes.begin(), classes.end()), classes.end());
    reachable_[unit] = std::move(classes);
  };
  find(find, kBoundary);
}

}  // namespace ft::grammar
