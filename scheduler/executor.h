// The boundary between deciding and running. The scheduler decides what a step is; an executor runs it, on a model
// (model_executor.h) or without one (a simulation with virtual seconds). What crosses is plain data.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/batch.h"
#include "core/constraint.h"
#include "core/error.h"
#include "draft/drafter.h"
#include "scheduler/speculation/node_selection.h"
#include "verify/sampling_params.h"
#include "verify/token_counts.h"
#include "verify/token_tree.h"
#include "verify/verifier.h"

namespace ft::scheduler {

// What decisions need to know of an executor. Fixed for its lifetime.
struct ExecutorInfo {
  // What costs and acceptance depend on, in words: processor or device, backend and threads; sizes and numerics.
  std::string machine;
  std::string model;
  std::string_view drafter = "none";  // as Drafter::name
  std::string_view model_drafter;     // as Drafter::model_name
  bool has_ngram = false;
  int draft_depth_max = 0;
  draft::ModelDepth model_depth;
  int64_t vocab = 0;
  int64_t window = 0;  // rows of a sequence that its drafter keeps until it is asked
  // (layer, expert) pairs that a row activates, and that there are.
  double experts_per_row = 0.0;
  double experts_all = 0.0;
  ExpertLayout experts;
};

// --- sequences ---

using SnapshotId = int64_t;
inline constexpr SnapshotId kNoSnapshot = 0;

// A state of a sequence that was kept, to continue from.
struct SnapshotInfo {
  SnapshotId id = kNoSnapshot;  // kNoSnapshot: it could not be kept
  int64_t length = 0;           // tokens
  int64_t copied_bytes = 0;     // memory of its own
  int64_t page_bytes = 0;       // of pages that it shares
  double seconds = 0.0;         // that keeping it took
};

struct OpenSequence {
  int64_t length = 0;      // tokens there must be room for
  int64_t length_max = 0;  // tokens it may ever have
  bool drafts = false;     // whether the drafter is to watch it
  SnapshotId from = kNoSnapshot;
};

// The committed states of sequences: tokens are appended by steps, and everything else happens here.
class SequenceStore {
 public:
  virtual ~SequenceStore() = default;

  // kTooLarge if it can never fit, kOverloaded if it does not fit now.
  virtual Result<SequenceId> open(const OpenSequence& wish) = 0;
  // Room for `length` tokens. Errors as above; nothing has changed then.
  virtual Result<void> grow(SequenceId sequence, int64_t length) = 0;
  virtual void close(SequenceId sequence) = 0;

  // The first `length` tokens, at most draft::kSnapshotBehind fewer than there are. Shares pages with the sequence.
  virtual SnapshotInfo snapshot(SequenceId sequence, int64_t length) = 0;
  // All of it, copied to the host: holds nothing that another sequence could need.
  virtual SnapshotInfo save(SequenceId sequence) = 0;
  // What save() would copy.
  virtual int64_t save_bytes(SequenceId sequence) const = 0;
  virtual void release(SnapshotId snapshot) = 0;

  virtual int64_t length(SequenceId sequence) const = 0;
  virtual int32_t open_sequences() const = 0;
  virtual int32_t sequences_max() const = 0;
  // Tokens that all sequences together can still grow by.
  virtual int64_t unreserved_tokens() const = 0;

  // Aborts on a broken invariant; for tests and idle time.
  virtual void check_integrity() const = 0;
};

// --- a step ---

// Trees to be drafted: trees[i] for requests[i].
struct DraftBatch {
  std::span<const draft::ProposeRequest> requests;
  std::span<draft::DraftTree> trees;
};

// One request's part of a step: known tokens, then its tree. Its rows follow each other.
struct StepRequest {
  std::string_view id;  // for logs
  SequenceId sequence = 0;
  // Tokens that are known, committed or not: the rows are tokens[length, length + known).
  std::span<const int32_t> tokens;
  int64_t length = 0;  // committed before the step
  int32_t first_row = 0;
  int32_t known = 0;  // 0: it sits this step out
  // Rows whose logits give the log probabilities of the tokens after them, all known: the first of these rows in
  // logit_rows, how many, and the first of these tokens in `tokens`.
  int32_t first_prompt_logit = 0;
  int32_t prompt_logits = 0;
  int64_t first_prompt_token = 0;
  int32_t prompt_logprobs = -1;  // as SamplingParams::logprobs
  // Node 0 is the last known row, node i the i-th row behind it. Empty: prompt rows only, nothing is sampled.
  const verify::TokenTree* tree = nullptr;
  int32_t first_logit = 0;               // of the tree, in logit_rows
  std::span<const double> distribution;  // drawn chains under rejection acceptance: [nodes, V]
  bool drafts = false;                   // whether the drafter watches

  // How tokens are sampled. `counts` and `constraint` move past what is emitted.
  const verify::SamplingParams* params = nullptr;
  std::span<const int32_t> stop_tokens;
  bool ignore_eos = false;
  int64_t tokens_left = 0;
  verify::TokenCounts* counts = nullptr;
  Constraint* constraint = nullptr;

  bool samples() const { return tree != nullptr && tree->size() > 0; }
};

struct StepBatch {
  std::span<const Row> rows;
  std::span<const int32_t> logit_rows;
  std::span<const StepRequest> requests;
};

// What came of one request's part.
struct RequestOutcome {
  verify::Verified verified;                 // empty where nothing was sampled
  std::vector<verify::SampleResult> prompt;  // of the request's prompt_logits
  // Part of its experts that each committed row of a tree shares with those before it, from the second row on.
  std::vector<float> expert_overlaps;
  std::string error;  // not empty: verification failed, and the request cannot go on

  // Whether the request has ended, by a stop rule or by an error. Its rows were not committed then.
  bool ends() const {
    return !error.empty() || verified.degenerate || verified.finish != verify::FinishReason::kNone;
  }
};

struct StepOutcome {
  std::span<const RequestOutcome> requests;  // as many as the batch has
  int64_t distinct_experts = 0;              // (layer, expert) pairs that the step has read
  double verify_seconds = 0.0;               // forward and sampling
  double commit_seconds = 0.0;
  int64_t canary_checks = 0;
  int64_t canary_mismatches = 0;
  std::string canary_report;  // of mismatches, for the log
};

// One thread at a time.
class Executor {
 public:
  virtual ~Executor() = default;

  virtual const ExecutorInfo& info() const = 0;
  virtual SequenceStore& sequences() = 0;
  // Fills the trees. Returns the seconds it took.
  virtual double propose(const DraftBatch& batch) = 0;
  // Computes all rows, verifies the trees and commits the known rows and the accepted paths of requests that have not
  // ended. Valid until the next step. If it throws, nothing is committed while intact().
  virtual const StepOutcome& step(const StepBatch& batch) = 0;
  // Learns what steps and drafts cost, before the first request comes.
  virtual void measure(CostModel& costs) = 0;
  // False once an exception has left sequences half changed. Nothing may be called any more but the destructor.
  virtual bool intact() const = 0;
};

}  // namespace ft::scheduler
