// The subcommands of foretoken-eval that check the text side: encode, parse, tokenize, detokenize.
//
// Each reads a JSON Lines file of cases and writes one JSON line per case, in order. They return the exit
// code: 0, or 2 after one message on `err` that names the file and the line (or the tokenizer file) when
// something is malformed. A case that the format refuses is no such failure: its line is {"id", "error":
// {"type"}} with the reference's exception name.
#pragma once

#include <iosfwd>
#include <string>

namespace ft::eval {

// Case {id, messages | messages_raw, kwargs {thinking_mode, context, drop_thinking, add_default_bos_token,
// reasoning_effort}, profile?} (encoding.md section 12; profile "preview" or "0731") -> {"id",
// "prompt"}.
int run_encode(const std::string& cases_path, std::ostream& out, std::ostream& err);

// Case {id, text, thinking_mode, strict?} -> {"id", "message"}. Strict, the default, is section 10 of the
// reference.
int run_parse(const std::string& cases_path, std::ostream& out, std::ostream& err);

// Case {id, text} -> {"id", "ids"}. Added tokens are matched wherever they stand, as the reference does.
int run_tokenize(const std::string& tokenizer_path, const std::string& cases_path, std::ostream& out,
                 std::ostream& err);

// Case {id, ids} -> {"id", "text", "text_skip_special", "stream", "stream_flush"}: the stream is the text
// emitted per id. An id outside the vocabulary gives {"id", "error": {"type": "IndexError"}}.
int run_detokenize(const std::string& tokenizer_path, const std::string& cases_path, std::ostream& out,
                   std::ostream& err);

}  // namespace ft::eval
