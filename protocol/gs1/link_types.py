"""The vocabulary of links: what may be found behind a GS1 key (GS1 Web Vocabulary, link types).

A relation is named as ``gs1:pip``, or by a registered relation of the IANA (``describedby``), or by the address of any
other vocabulary's term."""

from __future__ import annotations

import re
from typing import Final

from protocol.errors import RecordError, Rule
from protocol.status import Status

VOCABULARY: Final = "https://ref.gs1.org/voc/"
"""Where the terms of GS1 are, as link sets name them."""

DEFAULT_LINK: Final = "gs1:defaultLink"
DEFAULT_LINK_MULTI: Final = "gs1:defaultLinkMulti"
LINK_SET: Final = "linkset"
"""The value of ``linkType`` that asks for all links; ``all`` was its name in early releases."""

LINK_TYPES: Final[dict[str, tuple[str, str]]] = {
    "activityIdeas": ("Activity ideas", "活动创意"),
    "allergenInfo": ("Allergen information", "过敏原信息"),
    "brandHomepageClinical": ("Brand home page for professionals", "面向专业人士的品牌主页"),
    "brandHomepagePatient": ("Brand home page for patients", "面向患者的品牌主页"),
    "careersInfo": ("Careers", "招聘信息"),
    "certificationInfo": ("Certification information", "认证信息"),
    "consumerHandlingStorageInfo": ("Handling and storage", "使用与储存信息"),
    "defaultLink": ("Default link", "默认链接"),
    "defaultLinkMulti": ("Default links, by language or place", "多项默认链接"),
    "disassemblyInfo": ("Disassembly", "拆解信息"),
    "dpp": ("Digital product passport", "数字产品护照"),
    "epcis": ("EPCIS repository", "EPCIS 事件库"),
    "epil": ("Electronic patient information leaflet", "电子患者说明书"),
    "eventsInfo": ("Events", "活动信息"),
    "faqs": ("Frequently asked questions", "常见问题"),
    "handledBy": ("Handled by another resolver", "由其他解析服务处理"),
    "handlingEndOfLife": ("Handling at the end of life", "报废处理"),
    "hasRetailers": ("Retailers", "零售商"),
    "homepage": ("Home page", "主页"),
    "ingredientsInfo": ("Ingredients", "配料信息"),
    "instructions": ("Instructions", "使用说明"),
    "jws": ("JSON web signature", "JSON 网络签名"),
    "leaveReview": ("Leave a review", "发表评价"),
    "locationInfo": ("Location", "位置信息"),
    "logisticsInfo": ("Logistics", "物流信息"),
    "masterData": ("Master data", "主数据"),
    "menuInfo": ("Menu", "菜单"),
    "nutritionalInfo": ("Nutrition", "营养信息"),
    "openingHoursInfo": ("Opening hours", "营业时间"),
    "paymentLink": ("Payment", "付款链接"),
    "pip": ("Product information page", "产品信息页"),
    "productPassport": ("Product passport", "产品护照"),
    "productSustainabilityInfo": ("Product sustainability", "产品可持续性信息"),
    "promotion": ("Promotion", "促销"),
    "purchaseSuppliesOrAccessories": ("Supplies and accessories", "耗材与配件"),
    "quickStartGuide": ("Quick start guide", "快速入门"),
    "recallStatus": ("Recall status", "召回状态"),
    "recipeInfo": ("Recipes", "食谱"),
    "recyclingInfo": ("Recycling", "回收信息"),
    "registerProduct": ("Product registration", "产品注册"),
    "registryEntry": ("Entry in a registry", "登记条目"),
    "relatedVideo": ("Video", "相关视频"),
    "repairInfo": ("Repair", "维修信息"),
    "reuseInfo": ("Reuse", "再利用信息"),
    "review": ("Reviews", "评价"),
    "safetyInfo": ("Safety", "安全信息"),
    "scheduleTime": ("Make an appointment", "预约"),
    "serviceInfo": ("Service", "服务信息"),
    "smartLabel": ("SmartLabel", "智能标签"),
    "smpc": ("Summary of product characteristics", "药品特性摘要"),
    "socialMedia": ("Social media", "社交媒体"),
    "sorting": ("Sorting of waste", "分类回收"),
    "statisticInfo": ("Statistics", "统计信息"),
    "support": ("Support", "支持"),
    "sustainabilityInfo": ("Sustainability", "可持续性信息"),
    "traceability": ("Traceability", "追溯信息"),
    "tutorial": ("Tutorial", "教程"),
    "userAgreement": ("User agreement", "用户协议"),
    "verificationService": ("Verification service", "验证服务"),
    "whatsInTheBox": ("What is in the box", "装箱清单"),
}
"""The terms of GS1 with titles for people, which a link may use that has none of its own."""

BAD_RELATION: Final = Rule(
    "gs1-link.bad-relation",
    Status.BAD_RECORD,
    "'{relation}' is no relation of a link: write gs1:pip or another term of GS1, a registered relation such as "
    "describedby, or the address of a term",
    "“{relation}”不是链接关系：请使用 gs1:pip 等 GS1 术语、describedby 等注册关系，或术语的网址",
)

_OF_GS1: Final = re.compile(r"(?:gs1:|https?://(?:(?:www|ref)\.)?gs1\.org/voc/)([A-Za-z]+)")
_OTHER: Final = re.compile(r"[a-z-]+|https?://[A-Za-z0-9./]+")
"""What the published schemas of link sets let be a name besides."""


def relation(text: str) -> str:
    """The one spelling of a relation, ``gs1:pip`` for all addresses that GS1 has given that term. Terms of GS1 that are
    not in the table pass: the vocabulary grows. Raises :class:`RecordError`."""
    match = _OF_GS1.fullmatch(text)
    if match:
        return f"gs1:{match[1]}"
    if not _OTHER.fullmatch(text) or text in ("anchor", "itemDescription"):
        raise RecordError(BAD_RELATION, relation=text[:100])
    return text


def address(text: str) -> str:
    """The name of a relation in a link set: terms of GS1 by their address, others as they are."""
    spelled = relation(text)
    return VOCABULARY + spelled.removeprefix("gs1:") if spelled.startswith("gs1:") else spelled


def title(text: str, language: str = "en") -> str:
    """What a relation is called, for people; its own name where the table does not have it."""
    spelled = relation(text)
    english, chinese = LINK_TYPES.get(spelled.removeprefix("gs1:"), (spelled, spelled))
    return chinese if language == "zh" else english
