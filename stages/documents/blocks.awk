# Takes the commands of a Markdown document apart: DIR/SS/NN.sh is the NNth block of commands below the
# SSth heading "## ...", NN.mark the comment before it, NN.expected the output that is shown for it.
# DIR/SS/title is the heading.
#
# awk -v dir=DIR -f blocks.awk DOCUMENT

function section(title) {
    place = sprintf("%s/%02d", dir, sections++)
    system("mkdir -p '" place "'")
    print title >(place "/title")
    close(place "/title")
    number = 0
}

BEGIN { section("top") }

/^```/ {
    if (file != "") {
        close(file)
        file = ""
    } else if (fenced) {
        fenced = 0
        before = ""
        next
    } else if ($0 == "```sh") {
        block = sprintf("%s/%02d", place, ++number)
        file = block ".sh"
        printf "" >file
        print before >(block ".mark")
        close(block ".mark")
        before = ""
        next
    } else if ($0 == "```text" && before == "output") {
        file = block ".expected"
        before = ""
        next
    } else {
        fenced = 1
    }
    before = ""
    next
}

file != "" { print >file; next }
fenced { next }

/^## / { section(substr($0, 4)) }

{
    before = ""
    if (match($0, /^<!-- .* -->$/)) before = substr($0, 6, length($0) - 9)
}
