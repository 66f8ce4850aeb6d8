// The JSON reader: what it takes, what it refuses, what its accessors say, and damage.
#include "json.h"

#include <random>

#include "check.h"

using namespace switchyard;
using json::Document;
using json::Type;
using json::Value;

namespace {

Status parse(std::string text, std::unique_ptr<Document>* out) { return Document::parse(std::move(text), "test.json", out); }

void check_taken() {
  for (const char* text : {"null", " true ", "false\n", "0", "-0", "12", "-1.5e+3", "1E-2", "0.0", "\"\"", "[]", "{}", "[ ]",
                           "{ }", "[1,2]", "[[],{}]", "{\"a\":1}", "{\"a\":{\"a\":{}},\"b\":[null]}", "\t\r\n [ 1 ] ",
                           "\"\xC3\xA9 \xE4\xB8\xAD \xF0\x9F\x98\x80\"", "\"\\u0000\"", "\"\x7F\"", "\"\\ud83d\\ude00\"",
                           "{\"\":0,\" \":0}", "1e308", "123456789012345678901234567890"}) {
    std::unique_ptr<Document> document;
    const Status status = parse(text, &document);
    if (!status.ok()) CHECK_EQ(std::string(text) + ": " + status.message, "ok");
  }
}

void check_refused() {
  struct Case {
    std::string text;
    const char* says;
  };
  const std::vector<Case> cases = {
      {"", "byte 0: the text ends"}, {"  ", "byte 2: the text ends"}, {"nul", "byte 0: not a JSON"},
      {"nulll", "byte 4: text after"}, {"True", "byte 0: not"}, {"NaN", "not"}, {"Infinity", "not"}, {"-", "ends"},
      {"-x", "byte 1: not"}, {"01", "starts with 0"}, {"-01", "starts with 0"}, {"1.", "ends"}, {"1.x", "not"},
      {".5", "not"}, {"+1", "not"}, {"1e", "ends"}, {"1e+", "ends"}, {"0x10", "text after"}, {"1 2", "byte 2: text after"},
      {"1e400", "byte 0: a number beyond"}, {"[-1e999]", "byte 1: a number beyond"}, {std::string(400, '9'), "beyond"},
      {"[", "ends"}, {"[1", "ends"}, {"[1,", "ends"}, {"[1,]", "byte 3: not"}, {"[,1]", "byte 1: not"},
      {"[1 2]", "byte 3: expected ',' or ']'"}, {"[1}", "expected ',' or ']'"}, {"]", "not"},
      {"{", "ends"}, {"{\"a\"", "ends"}, {"{\"a\":", "ends"}, {"{\"a\":1", "ends"}, {"{\"a\":1,", "ends"},
      {"{\"a\":1,}", "byte 7: expected a key"}, {"{a:1}", "expected a key"}, {"{1:1}", "expected a key"},
      {"{\"a\" 1}", "expected ':'"}, {"{\"a\":1]", "expected ',' or '}'"}, {"{'a':1}", "expected a key"},
      {"{\"a\":1,\"b\":2,\"a\":3}", "byte 13: the key \"a\" is given twice"}, {"{\"a\":1,\"\\u0061\":2}", "twice"},
      {"\"", "ends"}, {"\"abc", "ends"}, {"\"\\", "ends"}, {"\"\\\"", "ends"}, {"\"\\x\"", "unknown escape"},
      {"\"\\u12\"", "four hex"}, {"\"\\u12G4\"", "four hex"}, {"\"\\ud800\"", "surrogate"}, {"\"\\udc00\"", "surrogate"},
      {"\"\\ud800\\n\"", "surrogate"}, {"\"\\ud800\\ud800\"", "surrogate"}, {"\"\\ud800", "ends"}, {"\"\\ud800\\u", "ends"},
      {"\"\n\"", "control character"}, {std::string("\"\0\"", 3), "control character"}, {"\"\x1F\"", "control character"},
      {"\"\xFF\"", "UTF-8"}, {"\"\x80\"", "UTF-8"}, {"\"\xC3\"", "UTF-8"}, {"\"\xC0\xAF\"", "UTF-8"}, {"\"\xE0\x80\x80\"", "UTF-8"},
      {"\"\xED\xA0\x80\"", "UTF-8"}, {"\"\xF4\x90\x80\x80\"", "UTF-8"}, {"\"\xF8\x88\x80\x80\x80\"", "UTF-8"}, {"\"\xE4\xB8", "UTF-8"},
      {"\xEF\xBB\xBF{}", "byte 0: not"}, {"// x\n1", "not"}, {std::string("1\0", 2), "text after"},
      {std::string(200, '[') + std::string(200, ']'), "byte 128: nested too deep"}, {std::string(100000, '['), "too deep"},
  };
  for (const Case& item : cases) {
    std::unique_ptr<Document> document;
    const Status status = parse(item.text, &document);
    const std::string what = item.text.substr(0, 40) + ": " + status.message;
    if (status.code != Code::invalid_file || document) CHECK_EQ(what, "invalid_file");
    if (status.message.find(item.says) == std::string::npos) CHECK_EQ(what, item.says);
    CHECK_EQ(status.message.substr(0, 15), "test.json, byte");
  }
  std::string deep = std::string(json::kMaxDepth, '[') + std::string(json::kMaxDepth, ']');
  std::unique_ptr<Document> document;
  CHECK_OK(parse(deep, &document));
  deep.clear();
  for (int i = 0; i < 5000; i++) deep += "{\"a\":";
  CHECK(parse(deep, &document).code == Code::invalid_file);
}

template <typename T>
T read(const Value& value, T fallback) {
  (void)value.get(&fallback).ok();
  return fallback;
}

void check_values() {
  std::unique_ptr<Document> document;
  if (!CHECK_OK(parse(R"({"int": 42, "float": 1e-05, "whole": 3.0, "big": 9223372036854775807, "huge": 9223372036854775808,
      "yes": true, "no": false, "none": null, "text": "a\"\\\/\b\f\n\r\t\u00e9\u4e2d\ud83d\ude00z", "list": [1, [2, 3], {"x": 4}, 5],
      "object": {"b": 1, "a": 2}, "negative": -7})", &document))) return;
  const Value root = document->root();
  CHECK_EQ(root.size(), 12u);
  CHECK(root.type() == Type::object);
  CHECK_EQ(read(root.find("int"), int32_t{0}), 42);
  CHECK_EQ(read(root.find("int"), 0.0), 42.0);
  CHECK_EQ(read(root.find("float"), 0.0), 1e-05);
  CHECK_EQ(read(root.find("whole"), int64_t{0}), 3);
  CHECK_EQ(read(root.find("negative"), int32_t{0}), -7);
  CHECK_EQ(read(root.find("big"), int64_t{0}), INT64_MAX);
  CHECK_EQ(read(root.find("big"), int32_t{5}), 5);  // does not fit: left alone
  CHECK_EQ(read(root.find("huge"), int64_t{5}), 5);
  CHECK_EQ(read(root.find("float"), int64_t{5}), 5);
  CHECK(read(root.find("yes"), false) && !read(root.find("no"), true));
  CHECK_EQ(read(root.find("text"), std::string()), "a\"\\/\b\f\n\r\t\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80z");
  CHECK(root.find("none") && root.find("none").is_null());

  std::string shape;
  for (const Value item : root.find("list").items()) shape += std::to_string(item.size()) + (item.type() == Type::number ? "n" : "c");
  CHECK_EQ(shape, "0n2c1c0n");
  shape.clear();
  for (const json::Member member : root.find("object").members()) shape += member.key;
  CHECK_EQ(shape, "ba");
  for (const json::Member member : root.find("list").members()) CHECK_EQ(member.key, "no members in a list");
  for (const Value item : root.items()) CHECK_EQ(item.offset(), 0u);  // no items in an object

  const Value nothing = root.find("absent");
  CHECK(!nothing && nothing.type() == Type::missing && nothing.size() == 0 && !nothing.find("x") && !Value());
  for (const Value item : nothing.items()) CHECK_EQ(item.offset(), 0u);
  int32_t number = 9;
  CHECK(root.get("int", &number).ok() && number == 42);
  CHECK(root.get_optional("absent", &number).ok() && root.get_optional("none", &number).ok() && number == 42);
  CHECK_EQ(root.get("absent", &number).message, "test.json, byte 0: the field \"absent\" is missing");
  CHECK_EQ(root.get("yes", &number).message,
           "test.json, byte " + std::to_string(root.find("yes").offset()) + ", \"yes\": expected a number, found a boolean");
}

void check_files() {
  std::unique_ptr<Document> document;
  CHECK(Document::load("/nowhere/x.json", 100, &document).code == Code::not_found);
  CHECK(Document::load("/", 100, &document).code == Code::io_error);
}

// Walks everything there is to see.
size_t visit(const Value& value) {
  size_t sum = value.offset() + value.size();
  sum += read(value, std::string_view()).size() + (read(value, 0.5) > 1) + (read(value, int64_t{1}) > 1);
  for (const json::Member member : value.members()) sum += member.key.size() + visit(member.value);
  for (const Value item : value.items()) sum += visit(item);
  return sum;
}

void check_damaged() {
  const std::string good = R"({"a": [1, -2.5e3, true, false, null, "x\n\u00e9\ud83d\ude00"], "b": {"c": {"d": []}, "": "中"}, "e": 0})";
  std::mt19937 random(4);
  int taken = 0;
  for (int round = 0; round < 20000; round++) {
    std::string text = good;
    for (uint32_t change = random() % 3 + 1; change > 0 && !text.empty(); change--) {
      const size_t at = random() % text.size();
      switch (random() % 5) {
        case 0: text[at] = static_cast<char>(random()); break;
        case 1: text.erase(at, random() % 8); break;
        case 2: text.insert(at, text.substr(random() % text.size(), random() % 8)); break;
        case 3: text[at] = "[]{}\",:\\eu0-."[random() % 13]; break;
        default: if (random() % 8 == 0) text.resize(at); break;
      }
    }
    std::unique_ptr<Document> document;
    const Status status = parse(text, &document);
    if (status.ok() != (document != nullptr) || (!status.ok() && status.code != Code::invalid_file)) CHECK_EQ(text, "");
    if (document && visit(document->root()) > 0) taken++;
  }
  CHECK(taken > 100 && taken < 20000);
}

}  // namespace

int main() {
  check_taken();
  check_refused();
  check_values();
  check_files();
  check_damaged();
  return check_result();
}
