#include "scheduler/memory/sequence_memory.h"

#include <algorithm>

#include "core/check.h"

namespace ft::scheduler {

namespace {

int64_t prompt_size(const RequestState& state) {
  return static_cast<int64_t>(state.request.prompt.size());
}

// A group's requests part before the last token of the prompt: its row gives each of them its own first
// token.
int64_t fork_length(const RequestState& state) {
  return state.request.fork_group != 0 ? prompt_size(state) - 1 : 0;
}

}  // namespace

SequenceMemory::SequenceMemory(SequenceStore& store, int64_t prefix_cache_bytes)
    : store_(store), prefixes_(prefix_cache_bytes) {}

// Gives up something that only saves work: a cached prefix, or else a fork that nobody has taken yet. False
// if there is nothing.
bool SequenceMemory::give_up_one() {
  if (prefixes_.evict_one()) return true;
  const auto held =
      std::find_if(forks_.begin(), forks_.end(), [](const auto& f) { return f.second.snapshot != nullptr; });
  if (held == forks_.end()) return false;
  held->second.snapshot = nullptr;
  return true;
}

bool SequenceMemory::make_room(int64_t tokens) {
  while (store_.unreserved_tokens() < tokens)
    if (!give_up_one()) return false;
  return true;
}

// Opens a sequence, giving up what is only kept until it fits.
bool SequenceMemory::open_evicting(RequestState& state, const OpenSequence& wish) {
  for (Result<SequenceId> sequence = store_.open(wish);; sequence = store_.open(wish)) {
    if (sequence) {
      state.sequence = *sequence;
      return true;
    }
    if (sequence.error().code != ErrorCode::kOverloaded || !give_up_one()) return false;
  }
}

bool SequenceMemory::open(RequestState& state, int64_t length, int64_t spare) {
  FT_CHECK(state.sequence < 0, state.sequence);
  if (store_.open_sequences() >= store_.sequences_max()) return false;
  // What is shared need not be found again, but shared pages may have to be copied, so the bound is not
  // lowered for it.
  if (!make_room(length + spare)) return false;
  OpenSequence wish{.length = length, .length_max = state.length_max(), .drafts = state.speculates()};
  if (state.suspended != nullptr) {
    wish.from = state.suspended->id();
    if (!open_evicting(state, wish)) return false;
    state.suspended = nullptr;
    return true;
  }
  const auto fork = forks_.find(state.request.fork_group);
  SharedSnapshot from;  // shared: making room may evict it
  bool forked = false;
  if (fork != forks_.end() && fork->second.snapshot != nullptr && !state.decoding()) {
    from = fork->second.snapshot;
    forked = true;
  } else if (!state.wants_prompt_logprobs()) {
    from = prefixes_.find(state.tokens, static_cast<int64_t>(state.tokens.size()) - 1, state.speculates())
               .snapshot;
  }
  if (from != nullptr) wish.from = from->id();
  if (!open_evicting(state, wish)) return false;
  if (!state.decoding() && state.report.cached_tokens == 0)
    state.report.cached_tokens = store_.length(state.sequence);
  if (Fork* group = group_of(state)) {
    if (!forked && group->leader == nullptr && group->snapshot == nullptr) group->leader = &state;
    count_member(state);
  }
  return true;
}

// The group of a request that still reads its prompt, made for the first that asks.
SequenceMemory::Fork* SequenceMemory::group_of(RequestState& state) {
  if (fork_length(state) <= 0 || state.request.fork_count < 2 || state.decoding()) return nullptr;
  const auto found = forks_.find(state.request.fork_group);
  if (found != forks_.end()) return &found->second;
  // All others have begun or gone, so a member that comes back reads for itself only.
  if (state.counted_in_group) return nullptr;
  Fork& made = forks_[state.request.fork_group];
  made.left = state.request.fork_count;
  return &made;
}

// A member has begun or gone. After the last one nobody needs the fork.
void SequenceMemory::count_member(RequestState& state) {
  if (state.counted_in_group) return;
  state.counted_in_group = true;
  const auto group = forks_.find(state.request.fork_group);
  if (group != forks_.end() && --group->second.left <= 0) forks_.erase(group);
}

void SequenceMemory::forget(RequestState& state) {
  if (group_of(state) != nullptr) count_member(state);
}

void SequenceMemory::end_idle_groups() {
  std::erase_if(forks_, [](const auto& group) { return group.second.leader == nullptr; });
}

bool SequenceMemory::grow(RequestState& state, int64_t length) {
  for (;;) {
    const Result<void> grown = store_.grow(state.sequence, std::min(length, state.length_max()));
    if (grown) return true;
    if (grown.error().code != ErrorCode::kOverloaded || !give_up_one()) return false;
  }
}

SnapshotInfo SequenceMemory::suspend(RequestState& state, bool keep) {
  SnapshotInfo saved;
  if (keep) saved = store_.save(state.sequence);
  if (saved.id != kNoSnapshot)
    state.suspended = std::make_shared<const Snapshot>(store_, saved, state.speculates());
  close(state);
  return saved;
}

void SequenceMemory::close(RequestState& state) {
  leave_group(state);
  if (state.sequence < 0) return;
  store_.close(state.sequence);
  state.sequence = -1;
}

// A leader that goes before the fork leaves the prompt to the next of its group.
void SequenceMemory::leave_group(const RequestState& state) {
  const auto fork = forks_.find(state.request.fork_group);
  if (fork == forks_.end() || fork->second.leader != &state) return;
  fork->second.leader = nullptr;
}

int64_t SequenceMemory::cached_tokens(const RequestState& state) {
  return prefixes_.find(state.tokens, static_cast<int64_t>(state.tokens.size()) - 1, state.speculates())
      .length;
}

int64_t SequenceMemory::tokens_to_stop(const RequestState& state) const {
  const int64_t length = store_.length(state.sequence);
  const int64_t boundary = kPageTokens - length % kPageTokens;
  const auto fork = forks_.find(state.request.fork_group);
  if (fork != forks_.end() && fork->second.leader == &state && fork_length(state) > length)
    return std::min(boundary, fork_length(state) - length);
  return boundary;
}

// Null if the store can not keep it.
SharedSnapshot SequenceMemory::take_snapshot(const RequestState& state, int64_t length) {
  const SnapshotInfo taken = store_.snapshot(state.sequence, length);
  if (taken.id == kNoSnapshot) return nullptr;
  return std::make_shared<const Snapshot>(store_, taken, state.speculates());
}

void SequenceMemory::remember(RequestState& state, int64_t from) {
  const int64_t length = store_.length(state.sequence);
  const auto fork = forks_.find(state.request.fork_group);
  if (fork != forks_.end() && fork->second.leader == &state && length >= fork_length(state)) {
    // Without a page for the copy there is no fork: the others read the prompt themselves.
    if (length == fork_length(state)) fork->second.snapshot = take_snapshot(state, length);
    fork->second.leader = nullptr;
  }
  // Prompts are read up to each boundary; a verify step may end a few tokens behind one.
  const int64_t boundary = length - length % kPageTokens;
  if (boundary <= from || length - boundary > draft::kSnapshotBehind) return;
  const std::span<const int32_t> tokens = std::span(state.tokens).first(static_cast<size_t>(boundary));
  if (!prefixes_.wants(tokens, state.speculates())) return;
  SharedSnapshot taken = take_snapshot(state, boundary);
  if (taken == nullptr) return;
  // Whoever goes on with a reply goes on from its end, so of a reply only the last snapshot is kept.
  const int64_t previous = boundary - kPageTokens;
  if (previous > prompt_size(state)) prefixes_.erase(tokens.first(static_cast<size_t>(previous)));
  const int64_t known = prefixes_.find(tokens, boundary - 1, false).length;
  const int64_t own = taken->copied_bytes() + taken->page_bytes() * (boundary - known) / boundary;
  prefixes_.insert(tokens, std::move(taken), own);
}

bool SequenceMemory::waits_for_fork(const RequestState& state) const {
  if (state.decoding() || state.suspended != nullptr) return false;
  const auto fork = forks_.find(state.request.fork_group);
  return fork != forks_.end() && fork->second.leader != nullptr && fork->second.leader != &state;
}

}  // namespace ft::scheduler
