//! Builds anew when a file of the console is added or removed: the macro that embeds them is not
//! asked otherwise.

fn main() {
    println!("cargo::rerun-if-changed=console/www");
}
