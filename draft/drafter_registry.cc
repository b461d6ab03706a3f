#include "draft/drafter_registry.h"

#include <algorithm>
#include <array>

#include "core/check.h"
#include "draft/combined.h"
#include "draft/dspark.h"
#include "draft/mtp.h"
#include "draft/none.h"

namespace ft::draft {

namespace {

template <class Model>
std::unique_ptr<Drafter> make(Backend& backend, const Checkpoint& checkpoint, const DraftLimits& limits) {
  return std::make_unique<Model>(backend, checkpoint, limits);
}

// "auto" takes the first that the checkpoint carries.
constexpr std::array kModelDrafters = {
    ModelDrafterRow{"dspark", "DSpark draft (mtp.0.main_proj)",
                    [](const ModelWeights& weights) { return weights.dspark != nullptr; }, make<Dspark>},
    ModelDrafterRow{"mtp", "MTP block (mtp.0.e_proj)",
                    [](const ModelWeights& weights) { return !weights.mtp.empty(); }, make<Mtp>},
};

struct NamedChoice {
  std::string name;
  DrafterChoice choice;
};

const std::vector<NamedChoice>& named_choices() {
  static const std::vector<NamedChoice> all = [] {
    std::vector<NamedChoice> named = {{"auto", {}}};
    for (const ModelDrafterRow& row : kModelDrafters)
      named.push_back({std::string(row.name), {.automatic = false, .model = &row}});
    named.push_back({"ngram", {.automatic = false, .ngram = true}});
    for (const ModelDrafterRow& row : kModelDrafters)
      named.push_back(
          {fmt::format("{}+ngram", row.name), {.automatic = false, .model = &row, .ngram = true}});
    named.push_back({"none", {.automatic = false}});
    return named;
  }();
  return all;
}

std::string_view name_of(const DrafterChoice& choice) {
  const auto found = std::ranges::find(named_choices(), choice, &NamedChoice::choice);
  FT_CHECK(found != named_choices().end());
  return found->name;
}

}  // namespace

Result<DrafterChoice> parse_drafter(std::string_view name) {
  const auto found = std::ranges::find(named_choices(), name, &NamedChoice::name);
  if (found != named_choices().end()) return found->choice;
  return fail(ErrorCode::kInvalidArgument, "unknown drafter \"{}\", expected {}", name, drafter_names_text());
}

const std::vector<std::string>& drafter_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const NamedChoice& named : named_choices()) list.push_back(named.name);
    return list;
  }();
  return names;
}

std::string drafter_names_text() {
  const std::vector<std::string>& names = drafter_names();
  std::string text = names.front();
  for (size_t i = 1; i + 1 < names.size(); ++i) text += ", " + names[i];
  return text + " or " + names.back();
}

std::string_view drafter_name(std::string_view model, bool ngram) {
  DrafterChoice choice{.automatic = false, .ngram = ngram};
  if (!model.empty()) {
    choice.model = std::ranges::find(kModelDrafters, model, &ModelDrafterRow::name);
    FT_CHECK(choice.model != kModelDrafters.end(), model);
  }
  return name_of(choice);
}

const ModelDrafterRow* carried_drafter(const ModelWeights& weights) {
  const auto found =
      std::ranges::find_if(kModelDrafters, [&](const ModelDrafterRow& row) { return row.carried(weights); });
  return found == kModelDrafters.end() ? nullptr : found;
}

Result<std::unique_ptr<Drafter>> make_drafter(const DrafterChoice& choice, Backend& backend,
                                              const Checkpoint& checkpoint, const DraftLimits& limits) {
  FT_CHECK(limits.sequences > 0 && limits.rows > 0 && limits.context > 0, limits.sequences, limits.rows,
           limits.context);
  DrafterChoice taken = choice;
  if (choice.automatic) {
    taken = {.automatic = false, .model = carried_drafter(checkpoint.weights())};
    taken.ngram = taken.model == nullptr;
  }
  const int64_t vocab_size = checkpoint.config().vocab_size;
  if (taken.model != nullptr) {
    const ModelDrafterRow& row = *taken.model;
    if (!row.carried(checkpoint.weights()))
      return fail(ErrorCode::kInvalidArgument, "drafter {}: the checkpoint has no {}{}{}", name_of(taken),
                  row.needs, checkpoint.draft_problem().empty() ? "" : ": ", checkpoint.draft_problem());
    return std::make_unique<Combined>(name_of(taken), row.make(backend, checkpoint, limits), limits,
                                      vocab_size);
  }
  if (taken.ngram) return std::make_unique<Combined>(name_of(taken), nullptr, limits, vocab_size);
  return std::make_unique<None>();
}

DraftSources default_sources(const DrafterChoice& choice, bool has_model, bool has_ngram) {
  if (choice.automatic) return {has_model, !has_model && has_ngram};
  return {choice.model != nullptr && has_model, choice.ngram && has_ngram};
}

}  // namespace ft::draft
