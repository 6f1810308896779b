# Makes page_files.cc of the files of page/, and of the drop reasons:
# cmake -D FOLDER=… -D REASONS=…/drop_reason.cc -D OUT=… -P page_files.cmake

# /drops.js: what each reason means, as the daemon's own table says.
file(READ ${REASONS} source)
# In CMake's lists it would part two elements.
string(REPLACE ";" "@semicolon@" source "${source}")
string(REGEX MATCHALL "{\"[a-z-]+\",[ \n]*\"[^\"]*\"" pairs "${source}")
set(drops "// Made of src/packet/drop_reason.cc.\n\"use strict\";\n\nexport const DROPS = {\n")
foreach(pair ${pairs})
  string(REGEX REPLACE "^{(\"[a-z-]+\"),[ \n]*(.*)$" "  \\1: \\2,\n" row "${pair}")
  string(APPEND drops "${row}")
endforeach()
string(REPLACE "@semicolon@" ";" drops "${drops}")
string(APPEND drops "};\n")
file(WRITE ${OUT}.drops.js "${drops}")

set(text "// Made of src/web/page by page_files.cmake.\n#include \"web/page_files.h\"\n\nnamespace cygnet::web {\nnamespace {\n\n")
set(rows "")
foreach(row "/|index.html|text/html" "/app.js|app.js|text/javascript" "/charts.js|charts.js|text/javascript"
    "/flows.js|flows.js|text/javascript" "/words.js|words.js|text/javascript" "/drops.js|drops.js|text/javascript"
    "/style.css|style.css|text/css" "/icon.svg|icon.svg|image/svg+xml")
  string(REPLACE "|" ";" row "${row}")
  list(GET row 0 path)
  list(GET row 1 file)
  list(GET row 2 type)
  if(file STREQUAL "drops.js")
    file(READ ${OUT}.drops.js bytes HEX)
  else()
    file(READ ${FOLDER}/${file} bytes HEX)
  endif()
  string(LENGTH "${bytes}" digits)
  math(EXPR size "${digits} / 2")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "\\\\x\\1" bytes "${bytes}")
  # Adjacent literals, so that no line is long.
  string(REGEX REPLACE "((\\\\x[0-9a-f][0-9a-f])(\\\\x[0-9a-f][0-9a-f])?(\\\\x[0-9a-f][0-9a-f])?(\\\\x[0-9a-f][0-9a-f])?(\\\\x[0-9a-f][0-9a-f])?(\\\\x[0-9a-f][0-9a-f])?(\\\\x[0-9a-f][0-9a-f])?(\\\\x[0-9a-f][0-9a-f])?)" "\"\\1\"\n" bytes "${bytes}")
  string(MAKE_C_IDENTIFIER "k_${file}" name)
  string(APPEND text "constexpr char ${name}[] =\n${bytes};\n")
  string(APPEND rows "    {\"${path}\", \"${type}; charset=utf-8\", {${name}, ${size}}},\n")
endforeach()
string(APPEND text "constexpr PageFile kFiles[] = {\n${rows}};\n\n}  // namespace\n\nstd::span<const PageFile> PageFiles() { return kFiles; }\n\n}  // namespace cygnet::web\n")
file(WRITE ${OUT} "${text}")
