#include "verify/grammar/text_language.h"

#include <algorithm>

namespace ft::grammar {
namespace {

constexpr size_t kMaxLengthWords = size_t{1} << 17;  // 1 MiB

}  // namespace

TextLanguage::TextLanguage(Automaton automaton, TextForm form)
    : automaton_(std::move(automaton)), classifier_(automaton_.partition(), form) {
  words_ = (automaton_.class_count() + 63) / 64;
  live_.assign(size_t{automaton_.state_count()} * words_, 0);
  for (uint32_t s = 0; s < automaton_.state_count(); ++s)
    for (uint32_t c = 0; c < automaton_.class_count(); ++c)
      if (automaton_.next(s, c) != Automaton::kDead) live_[s * words_ + c / 64] |= uint64_t{1} << c % 64;
  const uint32_t units = classifier_.unit_count();
  reachable_.assign(size_t{units} * words_, 0);
  for (uint32_t u = 0; u < units; ++u)
    for (const uint16_t c : classifier_.reachable(u))
      reachable_[u * words_ + c / 64] |= uint64_t{1} << c % 64;
  find_looping_kinds();
}

void TextLanguage::find_looping_kinds() {
  const std::vector<CharKindSet>& kinds = all_char_kinds();
  const Partition& partition = automaton_.partition();
  std::vector<uint64_t> classes(kinds.size() * words_, 0);  // [kind]: that its characters have
  for (size_t k = 0; k < kinds.size(); ++k)
    for (const CharSet::Range& range : kinds[k].points.ranges())
      for (CodePoint point = range.first; point <= range.last; point = partition.interval_end(point) + 1) {
        const uint32_t c = partition.class_of(point);
        classes[k * words_ + c / 64] |= uint64_t{1} << c % 64;
      }
  looping_.assign(automaton_.state_count(), 0);
  std::vector<uint64_t> loops(words_);
  for (uint32_t s = 1; s < automaton_.state_count(); ++s) {
    std::fill(loops.begin(), loops.end(), 0);
    for (uint32_t c = 1; c < automaton_.class_count(); ++c)
      if (automaton_.next(s, c) == s) loops[c / 64] |= uint64_t{1} << c % 64;
    for (size_t k = 0; k < kinds.size(); ++k) {
      bool all = true;
      for (uint32_t w = 0; w < words_; ++w) all = all && (classes[k * words_ + w] & ~loops[w]) == 0;
      if (all) looping_[s] |= kinds[k].kind;
    }
  }
}

size_t TextLanguage::bytes() const {
  return automaton_.bytes() + classifier_.bytes() + (live_.size() + reachable_.size()) * sizeof(uint64_t);
}

std::shared_ptr<const StringRule> StringRule::make(std::shared_ptr<const TextLanguage> language, uint32_t min,
                                                   uint32_t max) {
  auto rule = std::shared_ptr<StringRule>(new StringRule);
  const Automaton& automaton = language->automaton();
  rule->language_ = std::move(language);
  rule->min_ = min;
  rule->max_ = max;
  if (min == 0 || max == kNoMaximum || automaton.universal(automaton.start())) return rule;
  const uint32_t words = max / 64 + 1;
  const uint32_t states = automaton.state_count();
  if (size_t{words} * states > kMaxLengthWords) return nullptr;
  rule->length_words_ = words;
  auto& lengths = rule->lengths_;
  lengths.assign(size_t{words} * states, 0);
  for (uint32_t s = 1; s < states; ++s) lengths[s * words] = automaton.label(s) != 0;
  for (uint32_t n = 1; n <= max; ++n)
    for (uint32_t s = 1; s < states; ++s)
      for (uint32_t c = 1; c < automaton.class_count(); ++c) {
        const uint32_t to = automaton.next(s, c);
        if (to == Automaton::kDead || (lengths[to * words + (n - 1) / 64] >> (n - 1) % 64 & 1) == 0) continue;
        lengths[s * words + n / 64] |= uint64_t{1} << n % 64;
        break;
      }
  return rule;
}

CharKinds StringRule::free_kinds(const Position& position, uint32_t characters) const {
  const uint32_t state = position.text.state;
  const Automaton& automaton = language_->automaton();
  if (position.text.unit != CharClassifier::kBoundary) return 0;
  // In a loop a minimum can always be reached; a maximum must be far enough.
  if (max_ != kNoMaximum &&
      (min_ > 0 || uint64_t{position.length} + characters + automaton.shortest(state) > max_))
    return 0;
  return language_->looping_kinds(state);
}

bool StringRule::can_end(uint32_t state, uint32_t length) const {
  const Automaton& automaton = language_->automaton();
  const uint32_t more_at_least = length < min_ ? min_ - length : 0;
  if (max_ == kNoMaximum) return automaton.longest(state) >= more_at_least;
  if (length > max_) return false;
  const uint32_t more_at_most = max_ - length;
  if (more_at_least == 0 || automaton.universal(state)) return automaton.shortest(state) <= more_at_most;
  for (uint32_t n = more_at_least; n <= more_at_most; ++n)
    if ((lengths_[state * length_words_ + n / 64] >> n % 64 & 1) != 0) return true;
  return false;
}

bool StringRule::step(Position& position, uint8_t byte) const {
  TextLanguage::Position text = position.text;
  if (!language_->step(text, byte)) return false;
  if (!bounded()) {
    position.text = text;
    return true;
  }
  uint32_t length = position.length + 1;
  if (max_ == kNoMaximum) length = std::min(length, min_);
  if (text.unit == CharClassifier::kBoundary) {
    if (!can_end(text.state, length)) return false;
    position = {text, length};
    return true;
  }
  const Automaton& automaton = language_->automaton();
  for (const uint16_t c : language_->classifier().reachable(text.unit))
    if (const uint32_t next = automaton.next(text.state, c);
        next != Automaton::kDead && can_end(next, length)) {
      position.text = text;
      return true;
    }
  return false;
}

}  // namespace ft::grammar
