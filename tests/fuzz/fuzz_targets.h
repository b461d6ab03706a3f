// What fuzzers call: each takes any bytes, and aborts where a promise is broken.
#pragma once

#include <cstdint>
#include <span>

namespace ft::fuzz {

// A JSON Schema, of an answer and of a tool's arguments, up to the first zero byte; the bytes behind it
// choose tokens. Compiling is bounded; a grammar never leads into a dead end, and its masks say what taking
// each token does.
void schema(std::span<const uint8_t> input);

// A regular expression, up to the first zero byte, and a text. Compiling is bounded; what matches as a whole matches
// somewhere.
void regex(std::span<const uint8_t> input);

// The body of a request to an API. It is answered with JSON or with well-formed events, and never with an error of
// the server's own; an error says why; asked twice, the status is the same.
void chat_body(std::span<const uint8_t> input);
void completions_body(std::span<const uint8_t> input);
void messages_body(std::span<const uint8_t> input);
void responses_body(std::span<const uint8_t> input);

// A byte of options and the text of a turn. Read in one piece, by characters, and in pieces, it is the same message;
// arguments of calls are JSON objects, and there are none where none were asked for.
void tool_calls(std::span<const uint8_t> input);

// The messages of a chat, as JSON. What comes from the client gives no control token, and the tokens give the text
// back.
void encoder(std::span<const uint8_t> input);

// The header of a safetensors file, up to the first zero byte, and its data; behind a leading zero byte, the whole
// file. Tensors of a file that opens lie inside of it and have the bytes that their shape says.
void safetensors_header(std::span<const uint8_t> input);

// A tokenizer.json. One that loads gives back what it encodes.
void tokenizer_json(std::span<const uint8_t> input);

}  // namespace ft::fuzz
