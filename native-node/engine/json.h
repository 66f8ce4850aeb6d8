// A strict JSON reader (RFC 8259) for files from outside: tokenizer.json, config.json, safetensors headers.
// It owns the text and a flat index of it (16 bytes a value), unescapes strings in place, and hands out views.
// Refused with the byte where it happened: bad syntax, invalid UTF-8, lone surrogates, a key given twice, numbers beyond
// a double, nesting deeper than kMaxDepth. Nothing in here recurses deeper than that, throws or aborts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "status.h"

namespace switchyard::json {

inline constexpr int kMaxDepth = 128;

enum class Type : uint8_t { missing, null, boolean, number, string, array, object };

struct Member;
class Document;
template <typename Item>
class Range;

// A view of one value: copy it freely, it is valid while its Document lives. A default-made or not-found one is `missing`.
class Value {
 public:
  Value() = default;

  Type type() const;
  explicit operator bool() const { return type() != Type::missing; }  // present; null counts as present
  bool is_null() const { return type() == Type::null; }

  // The value itself; any other type, a fraction where an integer is asked for, or an integer that does not fit, is
  // invalid_file and leaves *out alone. An integer may be written 3, 3.0 or 3e0.
  Status get(bool* out) const;
  Status get(int32_t* out) const;
  Status get(int64_t* out) const;
  Status get(double* out) const;
  Status get(std::string_view* out) const;
  Status get(std::string* out) const;
  Status expect(Type wanted) const;

  // A member of an object: linear in the number of members.
  Value find(std::string_view key) const;              // missing when absent or when this is no object
  Status get(std::string_view key, Value* out) const;  // invalid_file when absent or when this is no object
  template <typename T>
  Status get(std::string_view key, T* out) const {
    Value value;
    if (Status status = get(key, &value); !status.ok()) return status;
    return value.get(out);
  }
  // Absent and null leave *out, the default, alone.
  template <typename T>
  Status get_optional(std::string_view key, T* out) const {
    const Value value = find(key);
    if (!value || value.is_null()) return {};
    return value.get(out);
  }

  size_t size() const;            // members of an object, items of an array, else 0
  Range<Member> members() const;  // in file order; empty when this is no object
  Range<Value> items() const;     // empty when this is no array

  size_t offset() const;                      // the byte of the file where the value starts
  Status error(const std::string& what) const;  // invalid_file: "NAME, byte N, "KEY": WHAT"

 private:
  friend class Document;
  template <typename Item>
  friend class Range;
  Value(const Document* document, uint32_t node) : document_(document), node_(node) {}

  const Document* document_ = nullptr;
  uint32_t node_ = 0;
};

struct Member {
  std::string_view key;
  Value value;
};

class Document {
 public:
  // `name` is what messages call the text, usually a file name.
  static Status parse(std::string text, std::string name, std::unique_ptr<Document>* out);
  // not_found or io_error when it cannot be read, invalid_file when it is larger than max_bytes.
  static Status load(const std::string& path, uint64_t max_bytes, std::unique_ptr<Document>* out);

  Document(const Document&) = delete;  // values point into it
  Document& operator=(const Document&) = delete;

  Value root() const { return Value(this, 0); }

 private:
  friend class Value;
  template <typename Item>
  friend class Range;
  friend class Parser;

  // A container is followed by its values, a member by its key and then its value; `next` skips all of them.
  struct Node {
    uint32_t offset = 0;  // of the value in the file
    uint32_t length = 0;  // string: bytes after unescaping; number, literal: bytes; container: how many values
    uint32_t next = 0;    // the node after this value
    Type type = Type::missing;
    bool is_member = false;  // the node before it is its key
  };
  Document() = default;
  std::string_view text_of(uint32_t node) const;

  std::string text_;
  std::string name_;
  std::vector<Node> nodes_;
};

// For range-based for over a container.
template <typename Item>
class Range {
 public:
  class Iterator {
   public:
    Iterator(const Document* document, uint32_t node) : document_(document), node_(node) {}
    Item operator*() const;
    Iterator& operator++();
    bool operator!=(const Iterator& other) const { return node_ != other.node_; }

   private:
    const Document* document_;
    uint32_t node_;
  };
  Iterator begin() const { return Iterator(document_, first_); }
  Iterator end() const { return Iterator(document_, last_); }

 private:
  friend class Value;
  Range() = default;
  Range(const Document* document, uint32_t first, uint32_t last) : document_(document), first_(first), last_(last) {}
  const Document* document_ = nullptr;
  uint32_t first_ = 0, last_ = 0;
};

template <>
inline Member Range<Member>::Iterator::operator*() const {
  return {document_->text_of(node_), Value(document_, node_ + 1)};
}
template <>
inline Value Range<Value>::Iterator::operator*() const {
  return Value(document_, node_);
}
template <>
inline Range<Member>::Iterator& Range<Member>::Iterator::operator++() {
  node_ = document_->nodes_[node_ + 1].next;
  return *this;
}
template <>
inline Range<Value>::Iterator& Range<Value>::Iterator::operator++() {
  node_ = document_->nodes_[node_].next;
  return *this;
}

inline Range<Member> Value::members() const {
  if (type() != Type::object) return {};
  return {document_, node_ + 1, document_->nodes_[node_].next};
}
inline Range<Value> Value::items() const {
  if (type() != Type::array) return {};
  return {document_, node_ + 1, document_->nodes_[node_].next};
}

}  // namespace switchyard::json
