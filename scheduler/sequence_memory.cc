#include "scheduler/sequence_memory.h"

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

SequenceMemory::SequenceMemory(KvCache& cache, draft::Drafter& drafter, int64_t prefix_cache_bytes)
    : cache_(cache), drafter_(drafter), prefixes_(prefix_cache_bytes) {}

// Gives up something that only saves work: a cached prefix, or else a fork that nobody has taken yet. False
// if there is nothing.
bool SequenceMemory::give_up_one() {
  if (prefixes_.evict_one()) return true;
  const auto held =
      std::find_if(forks_.begin(), forks_.end(), [](const auto& f) { return f.second.state.kv != nullptr; });
  if (held == forks_.end()) return false;
  held->second.state = {};
  return true;
}

bool SequenceMemory::make_room(int64_t tokens) {
  while (cache_.unreserved_tokens() < tokens)
    if (!give_up_one()) return false;
  return true;
}

// Opens a sequence with `open`, giving up what is only kept until it fits.
template <class Open>
bool SequenceMemory::open_evicting(RequestState& state, Open open) {
  for (Result<SequenceId> sequence = open();; sequence = open()) {
    if (sequence) {
      state.sequence = *sequence;
      return true;
    }
    if (sequence.error().code != ErrorCode::kOverloaded || !give_up_one()) return false;
  }
}

bool SequenceMemory::open(RequestState& state, int64_t length, int64_t spare) {
  FT_CHECK(state.sequence < 0, state.sequence);
  if (cache_.open_sequences() >= cache_.limits().sequences) return false;
  // What is shared need not be found again, but shared pages may have to be copied, so the bound is not
  // lowered for it.
  if (!make_room(length + spare)) return false;
  if (state.suspended) {
    if (!open_evicting(state, [&] { return cache_.open(length, *state.suspended->image); })) return false;
    if (state.speculates()) drafter_.open(state.sequence, state.length_max(), state.suspended->draft.get());
    state.suspended.reset();
    return true;
  }
  const auto fork = forks_.find(state.request.fork_group);
  PrefixState from;  // a copy: making room may evict the original
  bool forked = false;
  if (fork != forks_.end() && fork->second.state.kv != nullptr && !state.decoding()) {
    from = fork->second.state;
    forked = true;
  } else {
    const PrefixCache::Match match =
        prefixes_.find(state.tokens, static_cast<int64_t>(state.tokens.size()) - 1, state.speculates());
    if (match.state != nullptr) from = *match.state;
  }
  const auto open_from = [&] {
    return from.kv != nullptr ? cache_.open(length, *from.kv) : cache_.open(length);
  };
  if (!open_evicting(state, open_from)) return false;
  if (state.speculates()) drafter_.open(state.sequence, state.length_max(), from.draft.get());
  if (!state.decoding() && state.report.cached_tokens == 0)
    state.report.cached_tokens = cache_.length(state.sequence);
  if (Fork* group = group_of(state)) {
    if (!forked && group->leader == nullptr && group->state.kv == nullptr) group->leader = &state;
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
    const Result<void> grown = cache_.extend(state.sequence, std::min(length, state.length_max()));
    if (grown) return true;
    if (grown.error().code != ErrorCode::kOverloaded || !give_up_one()) return false;
  }
}

void SequenceMemory::suspend(RequestState& state, bool keep) {
  if (keep) {
    Suspended suspended;
    if (state.speculates())
      suspended.draft = drafter_.snapshot(state.sequence, cache_.length(state.sequence));
    suspended.image = cache_.save(state.sequence);
    state.suspended = std::move(suspended);
  }
  close(state);
}

void SequenceMemory::close(RequestState& state) {
  leave_group(state);
  if (state.sequence < 0) return;
  if (state.speculates()) drafter_.close(state.sequence);
  cache_.close(state.sequence);
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
  const int64_t length = cache_.length(state.sequence);
  const int64_t boundary = kPageTokens - length % kPageTokens;
  const auto fork = forks_.find(state.request.fork_group);
  if (fork != forks_.end() && fork->second.leader == &state && fork_length(state) > length)
    return std::min(boundary, fork_length(state) - length);
  return boundary;
}

PrefixState SequenceMemory::take_state(const RequestState& state, int64_t length) {
  PrefixState taken;
  taken.kv = cache_.snapshot(state.sequence, length);
  if (taken.kv == nullptr) return taken;
  taken.drafted = state.speculates();
  if (taken.drafted) taken.draft = drafter_.snapshot(state.sequence, length);
  return taken;
}

void SequenceMemory::remember(RequestState& state, int64_t from) {
  const int64_t length = cache_.length(state.sequence);
  const auto fork = forks_.find(state.request.fork_group);
  if (fork != forks_.end() && fork->second.leader == &state && length >= fork_length(state)) {
    // Without a page for the copy there is no fork: the others read the prompt themselves.
    if (length == fork_length(state)) fork->second.state = take_state(state, length);
    fork->second.leader = nullptr;
  }
  // Prompts are read up to each boundary; a verify step may end a few tokens behind one.
  const int64_t boundary = length - length % kPageTokens;
  if (boundary <= from || length - boundary > draft::kSnapshotBehind) return;
  const std::span<const int32_t> tokens = std::span(state.tokens).first(static_cast<size_t>(boundary));
  if (!prefixes_.wants(tokens, state.speculates())) return;
  PrefixState taken = take_state(state, boundary);
  if (taken.kv == nullptr) return;
  // Whoever goes on with a reply goes on from its end, so of a reply only the last state is kept.
  const int64_t previous = boundary - kPageTokens;
  if (previous > prompt_size(state)) prefixes_.erase(tokens.first(static_cast<size_t>(previous)));
  const int64_t known = prefixes_.find(tokens, boundary - 1, false).length;
  int64_t own = taken.kv->copied_bytes() + taken.kv->page_bytes() * (boundary - known) / boundary;
  if (taken.draft != nullptr) own += taken.draft->bytes();
  prefixes_.insert(tokens, std::move(taken), own);
}

bool SequenceMemory::waits_for_fork(const RequestState& state) const {
  if (state.decoding() || state.suspended) return false;
  const auto fork = forks_.find(state.request.fork_group);
  return fork != forks_.end() && fork->second.leader != nullptr && fork->second.leader != &state;
}

}  // namespace ft::scheduler
