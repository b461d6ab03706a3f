// The drafters that there are, by name: one table of model drafters, and everything that is said of them
// elsewhere (flags, requests, help, error messages) is read from it.
//
// To add a drafter: write it (drafter.h, model_drafter.h) and give it a row in drafter_registry.cc.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "draft/drafter.h"

namespace ft::draft {

// A drafter that runs a network of the checkpoint's.
struct ModelDrafterRow {
  std::string_view name;
  // What the checkpoint must carry for it: in words, after "the checkpoint has no ", and as a question.
  std::string_view needs;
  bool (*carried)(const ModelWeights& weights);
  // `weights` carry it. `backend` and `checkpoint` must outlive it.
  std::unique_ptr<Drafter> (*make)(Backend& backend, const Checkpoint& checkpoint, const DraftLimits& limits);
};

// Which sources are to propose. The default leaves it to the checkpoint.
struct DrafterChoice {
  bool automatic = true;  // the rest is not looked at then
  const ModelDrafterRow* model = nullptr;
  bool ngram = false;  // prompt lookup

  bool operator==(const DrafterChoice&) const = default;
};

// "auto", "none", "ngram", and NAME and NAME+ngram for every row. kInvalidArgument with this list for any
// other.
Result<DrafterChoice> parse_drafter(std::string_view name);
// All these names: "auto" first, "none" last.
const std::vector<std::string>& drafter_names();
// The same for a sentence: "auto, dspark or none".
std::string drafter_names_text();
// The name of these sources. `model`: the name of a row, or "". The text lives for ever.
std::string_view drafter_name(std::string_view model, bool ngram);

// The first row that the checkpoint carries, which "auto" takes; null if it carries none.
const ModelDrafterRow* carried_drafter(const ModelWeights& weights);

// Makes a drafter. "auto" takes the model's that the checkpoint carries, else n-grams. One with a model
// always has n-grams beside it, for the requests that ask for them. kInvalidArgument with the reason when the
// checkpoint lacks what `choice` needs. `checkpoint` and `backend` must outlive it.
Result<std::unique_ptr<Drafter>> make_drafter(const DrafterChoice& choice, Backend& backend,
                                              const Checkpoint& checkpoint, const DraftLimits& limits);

// Which of a drafter's sources propose for a request.
struct DraftSources {
  bool use_model = false;
  bool use_ngram = false;
};

// The sources of a request that does not name any, of a drafter as made for `choice` that has a model, or n-grams, or
// both: those that the choice names; for "auto" the model, and n-grams only where there is none.
DraftSources default_sources(const DrafterChoice& choice, bool has_model, bool has_ngram);

}  // namespace ft::draft
