// A loaded model with everything a request needs of it: names, text side, limits and the engine.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/mapped_file.h"
#include "core/ranks/loaded_part.h"
#include "core/weights.h"
#include "encoding/chat_profile.h"
#include "encoding/tokenizer.h"
#include "scheduler/memory_needs.h"
#include "server/generation/generation_backend.h"
#include "verify/grammar/vocabulary.h"

namespace ft::server {

struct ServedModel {
  std::vector<std::string> names;  // what `model` may say in a request; the first is the one in replies
  std::string path;                // the checkpoint's folder
  int64_t created = 0;             // seconds since 1970, for /v1/models
  const encoding::Profile* profile = &encoding::kPreview;
  bool thinking = true;      // mode of a chat that does not say
  int64_t context = 0;       // tokens of a prompt and its completion, within what the cache holds
  int64_t cache_tokens = 0;  // of all requests together
  int64_t default_max_tokens = 0;
  int32_t bos = 0;
  std::vector<int32_t> eos = {1};     // any of them ends a reply
  std::string drafter = "none";       // the loaded one
  std::vector<std::string> drafters;  // what requests may ask for, besides auto and none
  int32_t tree_nodes = 1;       // rows verified per request and step; 0 = the scheduler decides how many
  int32_t tree_nodes_max = 64;  // largest speculation.max_nodes, and the most that the scheduler chooses
  std::string costs_origin;     // where the scheduler's costs come from; "" where it uses none
  std::string backend_description;
  std::vector<ranks::LoadedPart> ranks;  // what each rank has read of the weights
  std::vector<RankShare> rank_plan;      // what each is to read, of the ranks that run or were asked for
  std::vector<std::shared_ptr<const MappedFile>> weight_files;  // that weights are read from as they are used
  // What was found and what it needs, for --check.
  std::string release;
  std::vector<WeightPart> weights;
  std::vector<scheduler::MemoryPart> memory;  // beside the weights
  std::vector<std::string> warnings;          // what was assumed or left out
  std::unique_ptr<encoding::Tokenizer> tokenizer;
  // Of grammars; as many tokens as the model has logits. In that of tool calls, the mark of their tags is text.
  std::shared_ptr<const grammar::Vocabulary> vocabulary;
  std::shared_ptr<const grammar::Vocabulary> call_vocabulary;
  std::unique_ptr<GenerationBackend> backend;  // last, so that it is gone first

  // Rows per step of a request that sets no limit of its own.
  int32_t tree_nodes_limit() const { return tree_nodes > 0 ? tree_nodes : tree_nodes_max; }
};

}  // namespace ft::server
