// How tokens came, step by step: `speculation` of a choice in OpenAI's chat and text completions, where a
// request has "include_speculation": "steps".
//
// {"tokens": [...], "steps": [...]}
//
// tokens: as logprobs lists them, in the order of generation; of the content and of the reasoning together.
//   {"token": text, "reasoning": whether it belongs to the reasoning, "step": number of its step, "depth": of the
//   draft, 0 for the target's own choice, "source": "target", "model", "ngram" or "both", "probability": estimated
//   before verification that the drafts up to it are accepted; null for the target's own}
// steps: those whose first token is listed. A step that only ends the reply shows no token and is not listed.
//   {"step": number, "draft_ms", "verify_ms", "commit_ms": its times, shared steps in full, "tree": the drafted
//   tokens that were verified, parents first: [{"token", "parent": place in the list, -1 for the last token before
//   the step, "depth", "probability", "source", "accepted"}]}
#pragma once

#include <span>
#include <string>

#include "encoding/tokenizer.h"
#include "server/generation/choice.h"

namespace ft::server {

// A member of a choice, with a comma before it; "" where no token has a detail.
std::string speculation_member(std::span<const ShownToken> tokens, const encoding::Tokenizer& tokenizer);

}  // namespace ft::server
