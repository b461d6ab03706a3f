#include "verify/grammar/grammar_state.h"

#include <algorithm>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/check.h"
#include "verify/grammar/token_mask.h"

namespace ft::grammar {
namespace {

constexpr size_t kMaxPool = size_t{1} << 16;  // frames and names before what no state needs is dropped
constexpr size_t kMaxCachedMasks = 64;
constexpr size_t kForcedBytes = 128;  // looked at together

uint64_t hash_of(const Configurations& configurations) {
  uint64_t hash = 0;
  const auto mix = [&](uint64_t value) {
    hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 31;
  };
  for (const Configuration& c : configurations) {
    mix(uint64_t{c.frame} << 32 | c.rule);
    mix(uint64_t{c.state} << 32 | c.length);
    mix(c.hash ^ uint64_t{c.unit} << 8 ^ static_cast<uint64_t>(c.phase));
  }
  return hash;
}

}  // namespace

struct GrammarState::Shared {
  std::shared_ptr<const Grammar> grammar;
  std::shared_ptr<const Vocabulary> vocabulary;
  FramePool pool;
  // By the hash of the configurations; a state with another's hash computes its mask anew.
  std::unordered_map<uint64_t, std::pair<Configurations, TokenMask>> masks;
  TokenMasker masker;  // its scratch memory
};

GrammarState::GrammarState(std::shared_ptr<const Grammar> grammar,
                           std::shared_ptr<const Vocabulary> vocabulary)
    : shared_(std::make_shared<Shared>()) {
  shared_->grammar = std::move(grammar);
  shared_->vocabulary = std::move(vocabulary);
  configurations_ = {Stepper(*shared_->grammar, shared_->pool).start()};
}

GrammarState::GrammarState(std::shared_ptr<Shared> shared, Configurations configurations)
    : shared_(std::move(shared)), configurations_(std::move(configurations)) {}

const Vocabulary& GrammarState::vocabulary() const {
  return *shared_->vocabulary;
}

std::optional<GrammarState> GrammarState::after(std::string_view bytes) const {
  Stepper stepper(*shared_->grammar, shared_->pool);
  Configurations now = configurations_;
  Configurations next;
  for (const char byte : bytes) {
    next.clear();
    for (const Configuration& configuration : now)
      stepper.step(configuration, static_cast<uint8_t>(byte), next);
    if (next.empty()) return std::nullopt;
    now.swap(next);
  }
  if (shared_->pool.size() <= kMaxPool) return GrammarState(shared_, std::move(now));
  // The frames of states that are gone stay in the pool; this one goes on with a pool of its own.
  auto fresh = std::make_shared<Shared>();
  fresh->grammar = shared_->grammar;
  fresh->vocabulary = shared_->vocabulary;
  for (Configuration& configuration : now)
    configuration.frame = fresh->pool.copy(shared_->pool, configuration.frame);
  return GrammarState(std::move(fresh), std::move(now));
}

std::optional<GrammarState> GrammarState::after(int32_t token) const {
  if (shared_->vocabulary->is_end(token)) {
    if (!complete()) return std::nullopt;
    return GrammarState(shared_, {});
  }
  const std::string_view bytes = shared_->vocabulary->bytes_of(token);
  if (bytes.empty()) return std::nullopt;
  const std::span<const int32_t> forced = forced_tokens();
  std::optional<GrammarState> next = after(bytes);
  if (!next) return next;
  next->last_token_ = token;
  if (forced.size() > 1 && forced.front() == token) {
    next->forced_ = forced_;
    next->forced_at_ = forced_at_ + 1;
  }
  return next;
}

std::span<const int32_t> GrammarState::forced_tokens() const {
  if (forced_ == nullptr) {
    Tokens tokens;
    if (shared_->vocabulary->knows_settled()) {
      const std::string bytes = forced(kForcedBytes);
      if (!bytes.empty()) tokens = shared_->vocabulary->settled(last_token_, bytes);
    }
    forced_ = std::make_shared<const Tokens>(std::move(tokens));
  }
  return std::span(*forced_).subspan(forced_at_);
}

bool GrammarState::complete() const {
  const Stepper stepper(*shared_->grammar, shared_->pool);
  return std::any_of(configurations_.begin(), configurations_.end(),
                     [&](const Configuration& configuration) { return stepper.complete(configuration); });
}

void GrammarState::fill_mask(std::span<uint32_t> mask) const {
  const Vocabulary& vocabulary = *shared_->vocabulary;
  FT_CHECK(mask.size() == vocabulary.mask_words(), mask.size(), vocabulary.mask_words());
  if (const std::span<const int32_t> forced = forced_tokens(); !forced.empty()) {
    std::fill(mask.begin(), mask.end(), 0);
    mask[static_cast<size_t>(forced.front()) / 32] |= uint32_t{1} << forced.front() % 32;
    return;
  }
  const uint64_t hash = hash_of(configurations_);
  const auto known = shared_->masks.find(hash);
  if (known != shared_->masks.end() && known->second.first == configurations_) {
    std::copy(known->second.second.begin(), known->second.second.end(), mask.begin());
    return;
  }
  Stepper stepper(*shared_->grammar, shared_->pool);
  shared_->masker.fill(vocabulary, stepper, configurations_, mask);
  if (complete())
    for (const int32_t token : vocabulary.end_tokens()) mask[token / 32] |= uint32_t{1} << token % 32;
  if (shared_->masks.size() >= kMaxCachedMasks) shared_->masks.clear();
  shared_->masks.insert_or_assign(hash, std::pair(configurations_, TokenMask(mask.begin(), mask.end())));
}

std::string GrammarState::forced(size_t limit) const {
  std::string bytes;
  Stepper stepper(*shared_->grammar, shared_->pool);
  Configurations now = configurations_;
  while (bytes.size() < limit) {
    for (const Configuration& configuration : now)
      if (stepper.complete(configuration)) return bytes;
    std::optional<uint8_t> only;
    for (const Configuration& configuration : now) {
      const std::optional<uint8_t> own = stepper.only_byte(configuration);
      if (!own || (only && *only != *own)) return bytes;
      only = own;
    }
    if (!only) return bytes;
    Configurations next;
    for (const Configuration& configuration : now) stepper.step(configuration, *only, next);
    bytes += static_cast<char>(*only);
    now.swap(next);
  }
  return bytes;
}

}  // namespace ft::grammar
