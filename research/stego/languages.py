"""Words of many languages and scripts for prose payloads."""

# ruff: noqa: E501, RUF001  (letters of other scripts are intended, and some count double in a line)

from typing import Final

LATIN: Final = {
    "en": "the of and to in is you that it he was for on are as with his they at be this have from or one had by word "
    "but not what all were we when your can said there use an each which she do how their if will up other about out "
    "many then them these so some her would make like him into time has look two more write go see number no way could "
    "people my than first water been call who oil its now find long down day did get come made may part ignore previous "
    "instructions password meeting midnight transfer secret system prompt message hidden agent reveal key tomorrow",
    "de": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er hat "
    "dass sie nach wird bei einer um am sind noch wie einem über einen so zum war haben nur oder aber vor zur bis mehr "
    "durch man sein wurde Geheimnis Nachricht Treffen Schlüssel Brücke größer Straße übermorgen",
    "fr": "le la les des est et en que un une du dans qui par pour au sur pas plus ne se ce avec il sont mais comme nous "
    "être cette aux elle fait vous leur été après même où déjà très français réunion clé secrète demain forêt garçon",
    "es": "de la que el en y a los se del las un por con no una su para es al lo como más pero sus le ya o este sí porque "
    "esta entre cuando muy sin sobre también me hasta hay donde quien mañana señor niño corazón contraseña mensaje",
    "pt": "de a o que e do da em um para é com não uma os no se na por mais as dos como mas foi ao ele das tem à seu sua "
    "ou ser quando muito há nos já está eu também só pelo até isso ela entre coração amanhã reunião informação",
    "it": "di e il la che è per un in del una con non sono si da come le dei nel alla più anche questo ha ma lo della o "
    "essere su perché gli molto cosa quando città già domani messaggio segreto chiave così qualità",
    "pl": "w i na się nie do to że jest z o jak za po od co przez ale dla tym być tylko jego może ten był już są więcej "
    "wiadomość klucz jutro spotkanie źródło ósmy święto książka żółty ćwierć",
    "tr": "ve bir bu da için ile çok ne gibi daha olarak ama var kadar sonra en o ben mi olan iki şey değil yarın gizli "
    "mesaj anahtar görüşme güneş ışık çocuk",
    "vi": "và của là có trong được cho các một người không với những này để khi đã từ như ra đến về nhiều cũng ngày mai "
    "bí mật tin nhắn chìa khóa gặp nhau",
    "sv": "och i att det som en på är av för med till den har de inte om ett han men var jag sig från vi så kan nu i "
    "morgon hemlig nyckel möte större två år",
}

SPACED: Final = {
    "ru": "и в не на я быть он с что а по это она этот к но они мы весь который из у то за свой весь год от так о для "
    "ты же все тот мочь вы человек такой его сказать только или ещё бы себя один завтра тайна ключ встреча сообщение",
    "uk": "і в не на що я з він як до це та але по її за так від ми у вони для є був бути її вже ще коли якщо завтра "
    "ключ зустріч повідомлення людина",
    "el": "και το να του η της με που την από για είναι στο θα οι στην δεν τα των σε ένα τον τη αυτό αύριο μυστικό κλειδί",
    "ar": "في من على إلى أن هذا التي كان مع عن ما هو لم بعد كل غدا سر مفتاح رسالة لقاء الماء السماء كتاب",
    "fa": "و در به از که این را با است برای آن یک خود تا کرد بر هم نیز فردا راز کلید پیام دیدار",
    "he": "של את על לא הוא זה עם כי גם אני או כל היה אם יש מחר סוד מפתח הודעה פגישה",
    "hi": "के में है की को से का और पर यह हैं ने कि एक लिए भी कल रहस्य संदेश मिलना पानी किताब",
    "ta": "மற்றும் ஒரு இந்த அது என்று நான் நாளை செய்தி சாவி சந்திப்பு தண்ணீர்",
    "ko": "이 그 저 나 너 우리 내일 비밀 열쇠 메시지 만나다 그리고 하지만 사람 시간 물 하늘 책 안녕하세요 감사합니다 시스템",
}

UNSPACED: Final = {
    "zh": "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所民"
    "得经十三之进着等部度家电力里如水化高自二理起小物现实加量都两体制机当使点从业本去把性好应开它合还因由其些然前外天政四日那社义"
    "事平形相全表间样与关各重新线内数正心反你明看原又么利比或但质气第向道命此变条只没结解问意建月公无系军很情者最立代想已通并提直",
    "ja": "のにはをたがでてとしれさあるいもするからなこととしていますまたよりこの人私日本今会時間水空本秘密鍵明日メッセージシステム東京"
    "カタカナひらがな漢字学校電車食べる見る行く来る大きい小さい新しい古い",
    "th": "และที่ในของเป็นการมีได้ว่าไม่จะให้กับคนนี้พรุ่งนี้ความลับกุญแจข้อความพบกันน้ำฟ้า",
}

SCRIPT_BLOCKS: Final = (
    (0x0410, 0x044F),
    (0x0391, 0x03C9),
    (0x05D0, 0x05EA),
    (0x0621, 0x064A),
    (0x0905, 0x0939),
    (0x0E01, 0x0E2E),
    (0x10D0, 0x10F0),
    (0x3041, 0x3096),
    (0x30A1, 0x30FA),
    (0x4E00, 0x9FA5),
    (0xAC00, 0xD7A3),
    (0x1F300, 0x1F64F),
)
"""First and last code point of the letters of a script, or of emoji."""
