// Memory of requests: who has a sequence, how far it may grow, what was kept of those that had to give theirs up, and
// which prompts need not be read again.
//
// A request is admitted with room for what it has, not for what it may become; it grows a page at a time.
// When pages run out, cached prefixes go first, and then the caller suspends requests. Nothing is lost: a
// suspended request continues with the same bits.
#pragma once

#include <cstdint>
#include <map>
#include <memory>

#include "scheduler/memory/prefix_cache.h"
#include "scheduler/request_state.h"

namespace ft::scheduler {

class SequenceMemory {
 public:
  // `store` must outlive it.
  SequenceMemory(SequenceStore& store, int64_t prefix_cache_bytes);

  // Gives a request a sequence with room for `length` tokens: from its suspended image, from its fork group,
  // from the longest cached prefix, or empty. `spare` tokens must stay available for those that run. False,
  // and no change but evicted prefixes, if there is no room.
  bool open(RequestState& state, int64_t length, int64_t spare);
  // Room for `length` tokens. False if there is none.
  bool grow(RequestState& state, int64_t length);
  // Takes the sequence away; `keep`: its memory is copied to the host, else, or where the host has no room for it,
  // it will be computed again. Returns what was kept.
  SnapshotInfo suspend(RequestState& state, bool keep);
  void close(RequestState& state);
  // A request ends without ever having had a sequence.
  void forget(RequestState& state);
  // Nobody waits: groups whose prompt has been read are complete, or their other members were refused and
  // never come.
  void end_idle_groups();

  // Tokens that `state`, which waits, will not have to compute.
  int64_t cached_tokens(const RequestState& state);
  // Bytes that suspending would copy.
  int64_t saved_bytes(const RequestState& state) const { return store_.save_bytes(state.sequence); }

  // How many more tokens may be read before a state has to be remembered: the distance to the next page
  // boundary inside the prompt, or to the point where the other requests of its group part from it. At
  // least 1.
  int64_t tokens_to_stop(const RequestState& state) const;
  // After a commit before which the sequence had `from` tokens: caches the prefix that it has completed, the
  // reply's tokens included, or prepares its group's fork.
  void remember(RequestState& state, int64_t from);
  // Whether another request of the group is reading the prompt and `state` had better wait for it.
  bool waits_for_fork(const RequestState& state) const;

  const PrefixCache& prefixes() const { return prefixes_; }
  // Groups that still have requests to come.
  int64_t forks() const { return static_cast<int64_t>(forks_.size()); }
  void check_integrity() const { prefixes_.check_integrity(); }

 private:
  // A group of requests with one prompt. `leader` reads it.
  struct Fork {
    const RequestState* leader = nullptr;
    SharedSnapshot snapshot;
    int64_t length = 0;
    int32_t left = 0;  // requests that have not been opened yet
  };

  bool open_evicting(RequestState& state, const OpenSequence& wish);
  SharedSnapshot take_snapshot(const RequestState& state, int64_t length);
  bool make_room(int64_t tokens);
  bool give_up_one();
  void leave_group(const RequestState& state);
  Fork* group_of(RequestState& state);
  void count_member(RequestState& state);

  SequenceStore& store_;
  PrefixCache prefixes_;
  std::map<uint64_t, Fork> forks_;
};

}  // namespace ft::scheduler
