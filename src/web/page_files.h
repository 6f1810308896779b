// The files of the page, compiled into the program (page/, page_files.cmake).
#pragma once

#include <span>
#include <string_view>

namespace cygnet::web {

struct PageFile {
  std::string_view path;  // "/app.js"
  std::string_view type;
  std::string_view content;
};

std::span<const PageFile> PageFiles();

}  // namespace cygnet::web
